"""A key's server salts: each is current for 30 minutes, and accepted for 30 more.

Source: core.telegram.org/mtproto/description (server salt).
"""

from __future__ import annotations

import os
import struct
import time
from dataclasses import dataclass, field

SALT_SECONDS = 1800.0


def new_salt() -> int:
    """Return a random server salt."""
    return int(struct.unpack("<q", os.urandom(8))[0])


@dataclass(slots=True, eq=False)
class Salts:
    """The current salt of one key, and the one before it."""

    current: int = field(default_factory=new_salt)
    previous: int | None = None
    until: float = field(default_factory=lambda: time.monotonic() + SALT_SECONDS)
    """Monotonic seconds at which the current one is replaced."""

    def accepts(self, salt: int, now: float) -> bool:
        """Return whether a message with this salt is taken; replaces a salt that is due."""
        if now >= self.until:
            self.rotate(now, accept_previous=now < self.until + SALT_SECONDS)
        return salt in (self.current, self.previous)

    def rotate(self, now: float, *, accept_previous: bool = True) -> None:
        """Replace the current salt."""
        self.previous = self.current if accept_previous else None
        self.current = new_salt()
        self.until = now + SALT_SECONDS

    def seconds_left(self, now: float) -> int:
        """Return for how long the current salt is accepted."""
        return int(self.until - now + SALT_SECONDS)
