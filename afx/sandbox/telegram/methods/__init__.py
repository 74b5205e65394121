"""Telegram's API methods, as far as the sandbox knows them."""

from afx.sandbox.telegram.methods import auth, chats, messages, sending, updates
from afx.sandbox.telegram.methods.call import HANDLERS, WITHOUT_LOGIN, Call

__all__ = ["HANDLERS", "WITHOUT_LOGIN", "Call", "auth", "chats", "messages", "sending", "updates"]
