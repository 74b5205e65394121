"""Trouble on demand: flood waits, slow answers, refused and cut connections."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

from afx.sandbox.scripted import FaultScript


@dataclass(slots=True)
class Flood:
    """Refuse sends with FLOOD_WAIT; 0 for account or chat means: any."""

    account: int
    chat: int
    until: float
    """Monotonic seconds."""


@dataclass(slots=True)
class Faults:
    """The faults now in force."""

    delay_seconds: float = 0.0
    refusing: bool = False
    floods: list[Flood] = field(default_factory=list)
    script: FaultScript = field(default_factory=FaultScript)

    def shuffle(self, requests: list[tuple[int, bytes]]) -> None:
        """Leave parallel requests in their order."""

    def add_flood(self, account: int, chat: int, seconds: float) -> None:
        """Refuse the account's sends to a chat for some seconds."""
        self.floods.append(Flood(account, chat, time.monotonic() + seconds))

    def flood_wait(self, account: int, chat: int) -> int:
        """Return the whole seconds that this account must wait, 0 for none."""
        if not self.floods:
            return 0
        now = time.monotonic()
        self.floods = [flood for flood in self.floods if flood.until > now]
        left = [
            flood.until - now
            for flood in self.floods
            if flood.account in (0, account) and flood.chat in (0, chat)
        ]
        return math.ceil(max(left)) if left else 0
