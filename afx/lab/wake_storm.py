"""A storm of wakes: all sessions of a lab hibernate, miss a message each, and are due at once.

So it is after an outage of the control plane that was longer than the poll interval. For a
benchmark and for tests.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from afx.cluster.leadership import read_leader
from afx.lab.cluster import LabCluster
from afx.sandbox.judge.verdict import Verdict
from models.base import execute, micros, transaction, utc_now
from models.storage import hibernation
from models.tables import Session

_POSTS_PER_SECOND = 1000.0
_LATER = timedelta(hours=1)
_PART = 200


@dataclass(slots=True, frozen=True, kw_only=True)
class Storm:
    """What became of a storm."""

    verdict: Verdict
    sessions: int
    seconds: float
    """From the moment at which all were due until the last one was asleep again."""
    starts: Sequence[tuple[float, bool]]
    """When each session was given to a node, in seconds, and whether it is a premium user's."""
    first_starts: Sequence[bool]
    """Whether each session is a premium user's, in the order of their first starts: one may fail
    on a busy machine, and is tried again later."""
    forgotten: int
    """Sessions that were not given to a node, or are not asleep in the end."""
    terms: int
    """How often the leader changed meanwhile."""

    def most_starts(self, seconds: float) -> int:
        """Return the most starts within so many seconds."""
        times = [at for at, _ in self.starts]
        first = most = 0
        for last, at in enumerate(times):
            while at - times[first] > seconds:
                first += 1
            most = max(most, last - first + 1)
        return most

    def last_start(self, *, premium: bool) -> int:
        """Return the place among the first starts of a tier's last one; 0 when there is none."""
        return max((n for n, it in enumerate(self.first_starts, 1) if it == premium), default=0)


def let_all_sleep(lab: LabCluster, seconds: float) -> None:
    """Let all sessions of a lab hibernate, and wait until none runs."""
    rows = list(Session.select().where(Session.desired_state == "running").order_by(Session.id))
    for start in range(0, len(rows), _PART):
        with transaction():
            for it in rows[start : start + _PART]:
                hibernation.request(it, utc_now() + _LATER)
    lab.wait("all are asleep", lambda: lab.running() == 0, seconds)


def wake_storm(
    lab: LabCluster, *, seconds: float, sample: Callable[[], None] = lambda: None
) -> Storm:
    """Let a lab's running sessions sleep, miss a message each, and wake at once.

    ``seconds`` is the longest that each part may take; ``sample`` is called all the time.
    Raises AfxError when a part does not end.
    """
    lab.expect_copies()
    let_all_sleep(lab, seconds)
    lab.post(len(lab.sessions), _POSTS_PER_SECOND)
    lab.wait("all is posted", lab.all_posted, seconds)
    before, term = utc_now(), _term(lab)
    begun = time.monotonic()
    with transaction():
        execute(
            "UPDATE sessions SET wakes_at = ? WHERE desired_state = 'hibernated'", micros(before)
        )

    def all_sleep() -> bool:
        sample()
        # A session that a lost node had is started twice.
        woken = {it for it, _, _ in _starts(before)}
        return len(woken) >= len(lab.sessions) and not _not_asleep()

    lab.wait("all have woken, and sleep again", all_sleep, seconds)
    asleep = time.monotonic() - begun
    verdict = lab.wait_delivered(seconds)
    starts = _starts(before)
    tiers = {session: premium for session, _, premium in starts}
    return Storm(
        verdict=verdict,
        sessions=len(lab.sessions),
        seconds=asleep,
        starts=[(at, premium) for _, at, premium in starts],
        first_starts=list(tiers.values()),
        forgotten=len(lab.sessions) - len({it for it, _, _ in starts}) + _not_asleep(),
        terms=_term(lab) - term,
    )


def _term(lab: LabCluster) -> int:
    leader = read_leader(lab.redis)
    return leader.term if leader else 0


def _not_asleep() -> int:
    """Return how many sessions are awake, or asleep for ever."""
    cursor = execute(
        "SELECT count(*) FROM sessions WHERE desired_state <> 'hibernated' OR wakes_at IS NULL"
    )
    return int(cursor.fetchone()[0])


def _starts(since: datetime) -> list[tuple[int, float, bool]]:
    """Return the assignments since an instant, as (session, when, premium), in their order."""
    cursor = execute(
        "SELECT a.session_id, a.assigned_at, u.tier FROM session_assignments AS a"
        " JOIN sessions AS s ON s.id = a.session_id JOIN users AS u ON u.id = s.user_id"
        " WHERE a.assigned_at >= ? ORDER BY a.assigned_at, a.id",
        micros(since),
    )
    return [(int(it), int(at) / 1e6, tier == "premium") for it, at, tier in cursor.fetchall()]
