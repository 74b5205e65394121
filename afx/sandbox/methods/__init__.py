"""Telegram's API methods, as far as the sandbox knows them."""

from afx.sandbox.methods import auth, chats, messages, sending, updates
from afx.sandbox.methods.call import HANDLERS, WITHOUT_LOGIN, Call

__all__ = ["HANDLERS", "WITHOUT_LOGIN", "Call", "auth", "chats", "messages", "sending", "updates"]
