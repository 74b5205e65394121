"""Which of an account's budgets a request takes from: that of a destination, or of a method.

All kinds of sends to one chat share a budget, as lanes and tasks do: slow mode and most
flood waits are of a chat. Source: core.telegram.org/api/errors, 420 FLOOD.
"""

from __future__ import annotations

from typing import Any

from telethon import utils
from telethon.tl import functions

_SENDS = (
    functions.messages.ForwardMessagesRequest,
    functions.messages.SendMediaRequest,
    functions.messages.SendMessageRequest,
    functions.messages.SendMultiMediaRequest,
)


def budget_of(request: Any) -> int | str:
    """Return a send's destination as a marked id, or another request's method by name.

    A send to the account's own chat counts by its method: its peer has no id.
    """
    if isinstance(request, _SENDS):
        peer = getattr(request, "to_peer", None) or getattr(request, "peer", None)
        try:
            return int(utils.get_peer_id(peer))
        except TypeError:
            pass
    return method_name(type(request))


def method_name(kind: type) -> str:
    """Return the method of a class of requests, for example ``channels.GetMessages``."""
    return f"{kind.__module__.rpartition('.')[2]}.{kind.__name__.removesuffix('Request')}"
