"""How the loss of a node went, by the coordinator's events and the sandbox's ledger."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from afx.lab.accounts import LabSession
from afx.lab.cluster import LabCluster

_POLL_SECONDS = 0.05


@dataclass(slots=True, frozen=True)
class Failover:
    """How the loss of a node went, in seconds since its death."""

    node: str
    sessions: int
    detected_s: float
    recovered_s: float


def recovered_at(lab: LabCluster, lost_at: float, victims: Sequence[LabSession]) -> float | None:
    """Return when the last of a lost node's sessions forwarded again.

    Monotonic seconds, by the sandbox's ledger: a session's first copy over a
    connection that it opened after the loss. None while one has made none.
    """
    accounts = [it.account for it in victims]
    status = lab.sandbox.call("status", accounts=accounts)
    opened = {name: it["opened_at"] for name, it in status.items()}
    if any(at is None or at < lost_at for at in opened.values()):
        return None
    first = lab.sandbox.call("first_copies", since=opened)
    if len(first) < len(accounts):
        return None
    return float(max(first.values(), default=lost_at))


def wait_recovered(
    lab: LabCluster,
    lost_at: float,
    victims: Sequence[LabSession],
    *,
    seconds: float = 60.0,
    meanwhile: Callable[[], None] = lambda: None,
) -> float:
    """Wait until all of a lost node's sessions forward again; returns when they did.

    When they do not in time, the end of the waiting is returned.
    """
    until = time.monotonic() + seconds
    while True:
        at = recovered_at(lab, lost_at, victims)
        if at is not None:
            return at
        now = time.monotonic()
        if now > until:
            return now
        meanwhile()
        time.sleep(_POLL_SECONDS)
