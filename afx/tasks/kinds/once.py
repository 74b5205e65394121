"""Which contents one run of a task has taken, so that a rule with ``dedupe`` gets each once."""

from __future__ import annotations

from collections import deque

from afx.forwarding.likeness import Sketch, likeness, sketch_of
from afx.forwarding.pipeline import Incoming

_MOST = 20_000
"""Contents that are remembered; the oldest ones are forgotten."""
_MOST_TEXTS = 512
"""Texts with which one is compared that may be nearly the same."""


class Once:
    """The contents that were taken, and when their messages were posted."""

    def __init__(self, seconds: int, near: float = 0.0) -> None:
        """The same content is a duplicate for so long; 0: never. ``near``: see ``Dedupe``."""
        self._seconds = seconds
        self._near = near
        self._texts: deque[tuple[float, int, Sketch]] = deque(maxlen=_MOST_TEXTS)
        """When it was posted, its file, and its sketch."""
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
        is_known = digest in self._taken
        if owner == [message.chat, message.id] or abs(posted - at) >= self._seconds:
            if not (is_known and owner == [message.chat, message.id]) and self._is_near(
                message, posted
            ):
                return False
            self._taken.pop(digest, None)
            self._taken[digest] = (posted, message.chat, message.id)
            if len(self._taken) > _MOST:
                del self._taken[next(iter(self._taken))]
            return True
        return False

    def _is_near(self, message: Incoming, posted: float) -> bool:
        """Return whether nearly the same text was taken; otherwise remember this one."""
        from afx.telegram.contents import file_number, words_of

        words = words_of(message) if self._near else None
        if not words:
            return False
        file, sketch = file_number(message), sketch_of(words)
        if any(
            its_file == file
            and abs(posted - at) < self._seconds
            and likeness(its, sketch) >= self._near
            for at, its_file, its in self._texts
        ):
            return True
        self._texts.append((posted, file, sketch))
        return False
