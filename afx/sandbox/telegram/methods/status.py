"""Status, typing and read marks: accepted, since they change nothing here."""

from __future__ import annotations

from typing import Any

from telethon.tl import functions, types

from afx.sandbox.telegram import views
from afx.sandbox.telegram.methods.call import Call, method


@method(
    functions.account.UpdateStatusRequest,
    functions.messages.SetTypingRequest,
    functions.channels.ReadHistoryRequest,
)
def accept(call: Call, request: Any) -> Any:
    """Answer boolTrue, as core.telegram.org/method/account.updateStatus and its like do."""
    return views.TRUE


@method(functions.messages.ReadHistoryRequest)
def read_history(call: Call, request: Any) -> Any:
    """Answer that no event came of it: the sandbox keeps no read marks.

    Source: core.telegram.org/method/messages.readHistory.
    """
    return types.messages.AffectedMessages(call.me.box.pts, 0)
