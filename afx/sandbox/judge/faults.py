"""Trouble on demand: flood waits, scripted errors, mischief, refused and cut connections."""

from __future__ import annotations

import math
import time
from collections import deque
from dataclasses import dataclass, field

from afx.sandbox.mischief import Dice, Mischief
from afx.sandbox.scripted import FaultScript


@dataclass(slots=True)
class Flood:
    """Refuse sends until a time; 0 for account or chat means: any."""

    account: int
    chat: int
    until: float
    """Monotonic seconds."""
    name: str = "FLOOD_WAIT"
    refused: set[int] = field(default_factory=set)
    """Accounts that were told to wait."""


@dataclass(slots=True)
class Budget:
    """So many sends are allowed in so many seconds; 0 for account or chat means: each."""

    account: int
    chat: int
    sends: int
    seconds: float
    name: str = "FLOOD_WAIT"
    recent: dict[tuple[int, int], deque[float]] = field(default_factory=dict)

    def wait(self, account: int, chat: int, now: float) -> float:
        """Return how long a send must wait, 0 for not at all; then it is counted."""
        if self.account not in (0, account) or self.chat not in (0, chat):
            return 0.0
        recent = self.recent.setdefault((account, chat if self.chat else 0), deque())
        while recent and recent[0] <= now - self.seconds:
            recent.popleft()
        if len(recent) >= self.sends:
            return recent[0] + self.seconds - now
        recent.append(now)
        return 0.0


@dataclass(slots=True)
class Faults:
    """The faults now in force."""

    delay_seconds: float = 0.0
    refusing: bool = False
    flood_penalty_seconds: float = 0.0
    """How much longer a flood wait becomes with each send that does not wait."""
    floods: list[Flood] = field(default_factory=list)
    budgets: list[Budget] = field(default_factory=list)
    script: FaultScript = field(default_factory=FaultScript)
    dice: Dice = field(default_factory=lambda: Dice(Mischief()))

    def add_flood(self, account: int, chat: int, seconds: float, name: str = "FLOOD_WAIT") -> None:
        """Refuse the account's sends to a chat for some seconds."""
        self.floods.append(Flood(account, chat, time.monotonic() + seconds, name))

    def flood_error(self, account: int, chat: int) -> str:
        """Return the error that an account's send meets, for example FLOOD_WAIT_9, or ""."""
        if not self.floods and not self.budgets:
            return ""
        now = time.monotonic()
        self.floods = [flood for flood in self.floods if flood.until > now]
        hits = [
            flood
            for flood in self.floods
            if flood.account in (0, account) and flood.chat in (0, chat)
        ]
        for flood in hits:
            if account in flood.refused:
                flood.until += self.flood_penalty_seconds
            flood.refused.add(account)
        waits = [(flood.until - now, flood.name) for flood in hits]
        if not waits:
            waits = [(it.wait(account, chat, now), it.name) for it in self.budgets]
        seconds, name = max(waits, default=(0.0, ""))
        return f"{name}_{math.ceil(seconds)}" if seconds > 0 else ""

    def cause(self, mischief: Mischief) -> None:
        """Begin with this mischief, in the place of any other."""
        self.dice = Dice(mischief)

    def shuffle(self, requests: list[tuple[int, bytes]]) -> None:
        """Change the order in which parallel requests are executed, or leave it."""
        self.dice.shuffle(requests)
