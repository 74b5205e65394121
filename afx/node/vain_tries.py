"""How long a lane tries to send what Telegram errs on, and when it gives up.

An error of the server (5xx) says nothing about the message, and mostly passes; after it the
message may have arrived all the same (core.telegram.org/api/errors, 500). So it is tried again
under its random id, with a pause each time. Where it never passes, it is that message, or what
goes with it: it is sent by itself, and becomes a dead letter after an hour, so that the others of
its lane arrive. A retry of the dead letter has the same random id, and doubles nothing.
"""

from __future__ import annotations

from typing import Literal

from afx.node.stuck import Key, Stuck

GIVE_UP_SECONDS = 3_600.0
LEAST_TRIES = 20
_SINGLY_TRIES = 5
"""After so many what has no album is sent one by one: the others need not wait."""


class VainTries:
    """What one lane has tried in vain to send."""

    __slots__ = ("_destination", "_key", "_since", "_stuck", "is_single", "tries")

    def __init__(self, stuck: Stuck, destination: int) -> None:
        """``stuck`` has what earlier runs have tried for the ``destination``, and stores it."""
        self._stuck = stuck
        self._destination = destination
        self._key: Key | None = None
        self._since = 0.0
        self.tries = 0
        """How often the first one has failed in a row."""
        self.is_single = False
        """Each is to be sent by itself."""

    def failed(self, key: Key, now: float, *, has_album: bool) -> Literal["later", "give up"]:
        """Return what to do about a first one that has failed once more.

        ``now`` is monotonic, in seconds; ``has_album``: what is sent with it is, or has, an
        album, which is sent one by one only when nothing else is left.
        """
        if key != self._key:
            seconds, self.tries = self._stuck.before(self._destination, key)
            self._key, self._since, self.is_single = key, now - seconds, False
        self.tries += 1
        self._stuck.note(self._destination, key, self.tries)
        if self.tries < LEAST_TRIES or now - self._since < GIVE_UP_SECONDS:
            if not has_album and self.tries >= _SINGLY_TRIES:
                self.is_single = True
            return "later"
        if not self.is_single:
            self.is_single = True
            return "later"
        return "give up"

    def passed(self) -> None:
        """The first one has left for good."""
        self._key, self.tries, self.is_single = None, 0, False
        self._stuck.end(self._destination)
