"""What a coordinator shows of itself: whether it leads, its ticks, and what was away."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from afx.clock import Clock
from afx.exposition import Metric, by_label, single
from afx.probes import Probed, State

_STUCK_SECONDS = 30.0
"""Longer than a tick may take, and than a standby waits for Redis or the database."""
SERVERS = ("database", "redis")


class CoordinatorFigures:
    """Noted by the coordinator's loop, read by the thread that answers probes."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen_at = clock.monotonic()
        self._term = 0
        self._leads = False
        self._away: frozenset[str] = frozenset()
        self._outages: Counter[str] = Counter(dict.fromkeys(SERVERS, 0))
        self._terms: Counter[str] = Counter()
        self._ticks = 0
        self._tick_seconds = 0.0

    def note_alive(self) -> None:
        """Note that the loop runs, and that Redis and the database answer."""
        self._seen_at = self._clock.monotonic()
        self._away = frozenset()

    def note_away(self, server: str) -> None:
        """Note that ``redis`` or the ``database`` does not answer; counted when it begins."""
        self._seen_at = self._clock.monotonic()
        if server not in self._away:
            self._away |= {server}
            self._outages[server] += 1

    def note_lead(self, term: int) -> None:
        """Note that a term begins."""
        self._term, self._leads = term, True

    def note_end(self, why: str) -> None:
        """Note that the term has ended, and why."""
        if self._leads:
            self._leads = False
            self._terms[why] += 1

    def note_tick(self, seconds: float, *, waits_for_sql: bool) -> None:
        """Note one tick of the leader, which waits for reports for a part of its time."""
        if waits_for_sql:
            self.note_away("database")
        else:
            self.note_alive()
        self._tick_seconds += seconds
        self._ticks += 1

    def probed(self) -> Probed:
        """Return what probes show."""
        return Probed(self._metrics, self._health, self._readiness)

    def _health(self) -> State:
        silent = self._clock.monotonic() - self._seen_at
        return State(silent < _STUCK_SECONDS, f"the loop last ran {silent:.1f} s ago")

    def _readiness(self) -> State:
        if self._away:
            away = " and ".join(sorted(self._away))
            return State(False, f"no answer from: {away}")
        return State(True, f"leads in term {self._term}" if self._leads else "stands by")

    def _metrics(self) -> Iterable[Metric]:
        yield single("afx_coordinator_leads", "gauge", "Whether this one leads.", int(self._leads))
        yield single("afx_coordinator_term", "gauge", "Its last term.", self._term)
        yield single(
            "afx_coordinator_loop_age_seconds",
            "gauge",
            "How long ago its loop last came round.",
            round(max(0.0, self._clock.monotonic() - self._seen_at), 3),
        )
        yield by_label(
            "afx_coordinator_away",
            "gauge",
            "Whether a server does not answer it.",
            "kind",
            {it: int(it in self._away) for it in SERVERS},
        )
        yield by_label("afx_coordinator_outages_total", "counter", "", "kind", dict(self._outages))
        yield by_label(
            "afx_coordinator_ended_terms_total",
            "counter",
            "By why they ended.",
            "kind",
            dict(self._terms),
        )
        yield single("afx_coordinator_ticks_total", "counter", "", self._ticks)
        yield single(
            "afx_coordinator_tick_seconds_total", "counter", "", round(self._tick_seconds, 6)
        )
