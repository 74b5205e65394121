"""Faults on demand: which requests fail, and how, by method, chat, account and count.

Source of the errors: core.telegram.org/api/errors, and mtproto/mtproto-transports for
the codes of the transport.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any


class FaultKind(Enum):
    """What happens to a request."""

    REFUSE = "refuse"
    """It is answered with the error, and not executed."""
    FAIL_AFTER = "fail_after"
    """It is executed, then answered with the error: a 500 after the send."""
    NO_ANSWER = "no_answer"
    """It is executed, and its answer is lost; the connection stays open."""
    LOSE_SESSION = "lose_session"
    """It is executed, and the server forgets the MTProto session with the answer."""
    SLOW = "slow"
    """It is executed after ``seconds``; until then it is running."""
    TRANSPORT = "transport"
    """The packet is answered with the transport error ``code``, for example -429."""


@dataclass(slots=True)
class ScriptedFault:
    """One entry of a script; 0 and "" match everything."""

    kind: FaultKind = FaultKind.REFUSE
    code: int = 500
    message: str = ""
    """Telegram's name of the error, for example ``PERSISTENT_TIMESTAMP_OUTDATED``."""
    method: str = ""
    """For example ``messages.sendMessage``."""
    chat: int = 0
    """A marked id: where the request is sent to, or what it asks of."""
    account: int = 0
    skip: int = 0
    """So many matching requests are not affected at first."""
    count: int = 1
    """So many requests are affected; 0: all until the script is cleared."""
    seconds: float = 0.0

    def matches(self, method: str, chat: int, account: int) -> bool:
        """Return whether a request is one of those that this entry names."""
        return (
            self.method in ("", method) and self.chat in (0, chat) and self.account in (0, account)
        )


class FaultScript:
    """The faults that are still to happen, in the order in which they were added."""

    def __init__(self) -> None:
        self._faults: list[ScriptedFault] = []

    def __bool__(self) -> bool:
        return bool(self._faults)

    def add(self, fault: ScriptedFault) -> None:
        """Append one entry."""
        self._faults.append(fault)

    def clear(self) -> None:
        """Remove all entries."""
        self._faults.clear()

    def take(self, method: str, chat: int, account: int) -> ScriptedFault | None:
        """Return the fault that happens to this request, and count it."""
        for fault in self._faults:
            if not fault.matches(method, chat, account):
                continue
            if fault.skip:
                fault.skip -= 1
                continue
            if fault.count:
                fault.count -= 1
                if not fault.count:
                    self._faults.remove(fault)
            return fault
        return None

    def rows(self) -> list[dict[str, Any]]:
        """Return what is still to happen, as plain values."""
        return [{**asdict(it), "kind": it.kind.value} for it in self._faults]
