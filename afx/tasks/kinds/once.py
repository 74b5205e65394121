"""Which contents one run of a task has taken, so that a rule with ``dedupe`` gets each once."""

from __future__ import annotations

from afx.forwarding.pipeline import Incoming

_MOST = 20_000
"""Contents that are remembered; the oldest ones are forgotten."""


class Once:
    """The contents that were taken, and when their messages were posted."""

    def __init__(self, seconds: int) -> None:
        """The same content is a duplicate for so long; 0: never."""
        self._seconds = seconds
        self._taken: dict[bytes, tuple[float, int, int]] = {}

    def takes(self, message: Incoming, posted: float) -> bool:
        """Return whether a message is no duplicate, and remember it; asked again, as before.

        ``posted`` is in Unix seconds: sources are read one after another, so what comes may be
        older than what came.
        """
        from afx.telegram.contents import content_digest

        digest = content_digest(message) if self._seconds else None
        if digest is None:
            return True
        at, *owner = self._taken.get(digest, (posted, message.chat, message.id))
        if owner == [message.chat, message.id] or abs(posted - at) >= self._seconds:
            self._taken.pop(digest, None)
            self._taken[digest] = (posted, message.chat, message.id)
            if len(self._taken) > _MOST:
                del self._taken[next(iter(self._taken))]
            return True
        return False
