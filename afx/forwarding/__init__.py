"""What is forwarded, and where to: pure functions, no network, no Redis."""
