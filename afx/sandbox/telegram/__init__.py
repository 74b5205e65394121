"""What the sandbox knows and does: accounts, chats, methods."""
