"""Rules of the real code that are taken out on purpose: the judge must notice each one.

Each patches the real code while a schedule runs. ``only`` names the faults that the rule
is there for, so that a search finds a violation soon.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from simulation import faults
from simulation.cluster import Cluster
from simulation.faults import Fault
from simulation.patches import replaced

from afx import lease
from afx.cluster import reports, scripts, witness
from afx.cluster.leadership import Leadership
from afx.coordinator.assignments import AssignmentTable
from afx.coordinator.decisions import liveness
from afx.coordinator.failure_detector import FailureDetector
from afx.coordinator.placement_schedule import PlacementSchedule
from afx.coordinator.unknown_sessions import UnknownSessions
from afx.node.host import Host
from afx.node.lease_watch import LeaseWatch
from afx.node.residents import Phase, ReportStopped, Residents
from afx.node.session_runner import SessionRunner
from models.storage import cluster as sql_cluster

Replacement = tuple[Any, str, Any]


@dataclass(slots=True, frozen=True)
class Broken:
    """One rule that is left out."""

    name: str
    replacements: Callable[[Cluster], Sequence[Replacement]]
    only: frozenset[str]
    """The faults of its schedules."""
    crashes: bool = False
    """The violation is an exception that ends a process."""
    recover: bool = False
    """The violation is that something is forgotten."""
    most: int = 9
    """Faults in one schedule."""
    seconds: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """How long its faults last, where that matters."""

    def plan(self, seed: int) -> list[Fault]:
        """Return the faults of a seed."""
        return faults.plan(seed, only=self.only, most=self.most, seconds=self.seconds)

    @contextmanager
    def prepare(self, cluster: Cluster) -> Iterator[None]:
        """Leave the rule out in one schedule."""
        with ExitStack() as stack:
            for target, name, value in self.replacements(cluster):
                stack.enter_context(replaced(target, name, value))
            yield


def _kinds(text: str) -> frozenset[str]:
    return frozenset(it.strip() for it in text.split(","))


def _without(script: str, old: str, new: str) -> Replacement:
    """Change a script's text; the text must be there."""

    def source(name: str) -> str:
        text = scripts._INCLUDE.sub(lambda found: source(found[1]), _file(name))
        if name == script:
            assert old in text, f"{script}.lua has changed"
            return text.replace(old, new)
        return text

    def _file(name: str) -> str:
        return str(scripts.files("afx.cluster").joinpath("lua", f"{name}.lua").read_text())

    source(script)  # a text that has changed must not look like a violation
    return scripts, "source", source


# --- A. of the issue: what could make an account live twice ---------------------------------

_AT_ONCE: Replacement = (UnknownSessions, "are_found", lambda *_: True)
"""Sessions are placed before the nodes have said what they run."""
_OWNED = _without("place", "owner[2] and owner[2] ~= ''", "false")


def _no_inventory(*_: Any) -> None:
    """The leader asks no node what it runs."""


def _lost_commits_unnoticed(_: Cluster) -> list[Replacement]:
    return _commits_counted(sql_cluster.hold)


def _commits_counted(hold: Callable[[int], None]) -> list[Replacement]:
    """Count commits beside SQL: none is ever lost."""
    counts = itertools.count(1)

    def count_commit(term: int) -> int:
        hold(term)
        return next(counts)

    return [(sql_cluster, "count_commit", count_commit), (sql_cluster, "commits", lambda: 0)]


def _blind_is_dead(cluster: Cluster) -> list[Replacement]:
    seeing = witness._open

    def open_process(pid: int, started: str) -> int | None:
        try:
            return seeing(pid, started)
        except witness._CannotJudgeError:
            return None

    return [(witness, "_open", open_process)]


def _stop_leaves_the_start(self: Residents[Any], session_id: int, epoch: int, *rest: Any) -> Any:
    resident = self.get(session_id)
    if resident and resident.phase is Phase.STARTING and epoch >= resident.epoch:
        return [ReportStopped(session_id, epoch, "requested")]  # type: ignore[arg-type]
    return _order_stop(self, session_id, epoch, *rest)


_order_stop = Residents.order_stop


# --- leases ---------------------------------------------------------------------------------


async def _watch_no_deadline(self: LeaseWatch) -> None:
    import asyncio

    while True:
        self._memory.beat(self._clock.boottime(), *self._counts())
        await asyncio.sleep(0.1)


def _short_lease(cluster: Cluster) -> list[Replacement]:
    short = replace(lease.PROFILES["fast"], leader=1.5)

    def health(sighting: Any, now: float, _profile: Any) -> Any:
        return _health(sighting, now, replace(short, suspect=1.0))

    return [(liveness, "health", health)]


_health = liveness.health


# --- terms and epochs -----------------------------------------------------------------------


def _no_term_check(_: Cluster) -> list[Replacement]:
    def hold(_term: int) -> None:
        """Whoever leads may write."""

    return [
        _without("prelude", "(redis.pcall('GET', KEYS[1]) or '0') ~= ARGV[1]", "false"),
        (sql_cluster, "hold", hold),
        *_commits_counted(hold),
        (Leadership, "check", lambda _: None),
        (Leadership, "_renew", lambda _: None),
        _no_node_term_check(_)[0],
    ]


def _no_node_term_check(_: Cluster) -> list[Replacement]:
    async def order_start(self: Host, _term: int, items: list[tuple[int, int]]) -> Any:
        return await _order_start(self, self._term, items)

    return [(Host, "order_start", order_start)]


_order_start = Host.order_start


def _end_at_once(self: AssignmentTable, sessions: Any, now: float) -> None:
    actives = [self.active[it] for it in sessions]
    with self.change(now) as change:
        change.stop(actives)
    self.end(actives, "not awaited", now)


def _answer_first(self: SessionRunner, resident: Any) -> Any:
    session = resident.session

    async def disconnect() -> None:
        self.do(self._residents.ended(resident))
        await session.stop()

    return disconnect()


def _counts_as_they_are(self: AssignmentTable, node: Any) -> Any:
    return replace(node, reconciled_term=self._leadership.term)


def _missing_is_dead(self: FailureDetector, nodes: Any, owners: Any, now: float) -> Any:
    known = {it.incarnation for it in nodes}
    return {it: liveness.DeathReason.REPLACED for it in owners if it not in known}


def _settled_at_once(inner: Any) -> Any:
    def begin(*arguments: Any) -> Any:
        return replace(inner(*arguments), unsettled_seconds=0.0)

    return begin


def _cool_down_of_nothing(self: PlacementSchedule, sessions: Any, now: float) -> None:
    self._ended.update(dict.fromkeys(sessions, now))


def _read_strictly(entry: str, values: Any) -> Any:
    found, refused = _decode(entry, values)
    if refused:
        raise ValueError(refused[0].reason)
    return found, refused


_decode = reports.decode
