"""Message ids of sends whose answers may have been lost."""

from __future__ import annotations

_MOST = 4_096


class Announced:
    """random_id → message id, the newest ones (updateMessageID, api/updates)."""

    __slots__ = ("_ids",)

    def __init__(self) -> None:
        self._ids: dict[int, int] | None = None

    def note(self, random_id: int, message_id: int) -> None:
        """Learn which message a send has made."""
        if self._ids is None:
            self._ids = {}
        self._ids[random_id] = message_id
        if len(self._ids) > _MOST:
            del self._ids[next(iter(self._ids))]

    def pop(self, random_id: int) -> int:
        """Return the message that a send has made, 0 for an unknown one."""
        return self._ids.pop(random_id, 0) if self._ids else 0
