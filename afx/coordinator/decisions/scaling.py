"""How many nodes the cluster should have: a pure decision over figures and what was before.

``desired`` = the most that RAM, sessions or CPU ask for, ``ceil(demand / (0.75 · a node's
capacity))``, plus a spare node. More nodes are recommended at once. Fewer are recommended only
when ten minutes agree, and only nodes that were quiet for as long and whose sessions the
others have room for. As with Kubernetes' HorizontalPodAutoscaler, a small difference (the
tolerance) changes nothing, and the highest recommendation of a window decides.

All times are seconds of one monotonic clock.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from afx.coordinator.decisions import scale_in
from afx.coordinator.decisions.scale_in import NodeFigures

_FULL = 0.95
_LITTLE = 1e-9
_MOST_REMOVED = 20
"""In one recommendation; the next ones go on when these have left."""
_MOST_ALTERNATIVES = 10


class Decision(StrEnum):
    """What to do with the nodes."""

    HOLD = "hold"
    OUT = "out"
    IN = "in"


class Reason(StrEnum):
    """What decided."""

    STEADY = "steady"
    RAM = "ram"
    SESSIONS = "sessions"
    CPU = "cpu"
    OVERFLOW = "overflow"
    TASKS = "tasks"
    MINIMUM = "minimum"
    MAXIMUM = "maximum"
    STEP = "step"
    """More are needed than may be added at once."""
    WINDOW = "window"
    """Fewer would do, but not for long enough."""
    BUSY = "busy"
    """Fewer would do, but no node was quiet for long enough."""
    NO_ROOM = "no room"
    """Fewer would do, but the others have no room for the sessions of any quiet node."""
    SPARE = "spare"
    """Nodes were quiet for long enough, and the others can take their sessions."""
    STALE = "stale"
    """The figures are old: the last good recommendation holds."""


@dataclass(slots=True, frozen=True)
class Policy:
    """The limits of scaling; shares are from 0 to 1."""

    min_nodes: int = 1
    max_nodes: int = 0
    """0: no limit."""
    spare_nodes: int = 1
    target_load: float = 0.75
    tolerance: float = 0.1
    step_seconds: float = 300.0
    step_nodes: int = 2
    step_share: float = 0.5
    """In ``step_seconds`` the larger one of the two is added."""
    window_seconds: float = 600.0
    quiet_load: float = 0.5
    peers_load: float = 0.85
    overflow_seconds: float = 15.0
    task_seconds: float = 60.0
    """The oldest task is older than that: one node more."""
    blind_seconds: float = 60.0
    """For so long nodes that have all vanished count as not seen, not as dead."""


@dataclass(slots=True, frozen=True)
class Figures:
    """The cluster at one moment."""

    nodes: tuple[NodeFigures, ...]
    overflow: int = 0
    """Sessions that wait because no node has room."""
    overflow_bytes: int = 0
    """What they need."""
    oldest_task_seconds: float = 0.0
    """For how long the oldest task has been ready to run."""
    is_reliable: bool = True
    """Not, for example, while the brake holds: most nodes were lost at once."""


@dataclass(slots=True, frozen=True)
class Demand:
    """One resource: what is used and waited for, and how many nodes that fills."""

    demand: float
    node_capacity: float
    nodes: float
    """At the target load, before it is rounded up and the spare node is added."""


@dataclass(slots=True, frozen=True)
class Recommendation:
    """How many nodes there should be, and why."""

    decision: Decision
    reason: Reason
    current: int
    """Ready nodes."""
    desired: int
    needed: int
    """What the figures of the moment ask for, within the limits."""
    demands: Mapping[Reason, Demand] = field(default_factory=dict)
    overflow: int = 0
    """Sessions that have waited for room for ``overflow_seconds``."""
    oldest_task_seconds: float = 0.0
    removable: tuple[str, ...] = ()
    """The nodes to drain, in order, for ``in``."""
    alternatives: tuple[str, ...] = ()
    """Nodes any one of which may be drained instead of the first of them."""
    standing_seconds: float = 0.0
    """For how long this has been recommended, and not been done."""


@dataclass(slots=True, frozen=True)
class State:
    """What the decision remembers from call to call."""

    begun_at: float
    last: Recommendation | None = None
    changed_at: float = 0.0
    """When the last recommendation became what it is."""
    needed: tuple[tuple[float, int], ...] = ()
    """(at, nodes) within the window."""
    desired: tuple[tuple[float, int], ...] = ()
    """(at, nodes) within the time of a step."""
    overflow: tuple[tuple[float, int], ...] = ()
    quiet_since: Mapping[str, float] = field(default_factory=dict)
    node: NodeFigures | None = None
    """A node of mean capacity, for when there is none."""
    blind_at: float | None = None
    """Since when no node has been seen where some were."""


def decide(
    policy: Policy, figures: Figures, state: State, now: float
) -> tuple[Recommendation, State]:
    """Return the recommendation, and what to remember for the next call."""
    ready = [it for it in figures.nodes if it.is_ready]
    if _is_stale(policy, figures, state, now):
        return _held(len(ready), state, now)
    node = _mean(ready) or state.node
    overflow = _recent(state.overflow, now, policy.overflow_seconds, figures.overflow)
    waiting = _lasting(overflow, now, policy.overflow_seconds)
    demands = _demands(policy, figures, node, waiting)
    reference = max(len(ready), _last_desired(policy, state))
    needed, reason = _needed(policy, figures, demands, reference, waiting, ready)
    window = _recent(state.needed, now, policy.window_seconds, needed)
    quiet = scale_in.quiet_since(state.quiet_since, figures.nodes, policy.quiet_load, now)
    removable: tuple[str, ...] = ()
    alternatives: tuple[str, ...] = ()
    desired = reference
    if needed > reference:
        allowed = _step_limit(policy, state, reference)
        desired = min(needed, max(allowed, len(ready)))
        reason = Reason.STEP if desired < needed else reason
    elif needed < reference:
        highest = max(count for _, count in window)
        if waiting or now - state.begun_at < policy.window_seconds or highest >= reference:
            reason = Reason.WINDOW
        else:
            # Nodes that are missing anyway need no drain.
            desired = max(highest, len(ready))
            rested = [it for it, at in quiet.items() if now - at >= policy.window_seconds]
            most = min(_MOST_REMOVED, len(ready) - highest)
            removable = tuple(scale_in.removable(figures.nodes, rested, most, policy.peers_load))
            if removable:
                alternatives = tuple(
                    scale_in.alternatives(
                        figures.nodes, rested, _MOST_ALTERNATIVES, policy.peers_load
                    )
                )
            if desired > highest:
                desired -= len(removable)
                reason = Reason.SPARE if removable else Reason.NO_ROOM if rested else Reason.BUSY
    else:
        reason = Reason.STEADY if needed == len(ready) else reason
    found = Recommendation(
        decision=_decision(desired, len(ready)),
        reason=reason,
        current=len(ready),
        desired=desired,
        needed=needed,
        demands=demands,
        overflow=waiting,
        oldest_task_seconds=figures.oldest_task_seconds,
        removable=removable,
        alternatives=tuple(it for it in alternatives if it not in removable),
    )
    changed_at = state.changed_at if _is_same(found, state.last) else now
    return replace(found, standing_seconds=now - changed_at), State(
        begun_at=state.begun_at,
        last=found,
        changed_at=changed_at,
        needed=window,
        desired=_recent(state.desired or ((now, reference),), now, policy.step_seconds, desired),
        overflow=overflow,
        quiet_since=quiet,
        node=node,
    )


def _is_stale(policy: Policy, figures: Figures, state: State, now: float) -> bool:
    """Return whether half of the nodes are not to be seen, or all have vanished just now."""
    if not figures.is_reliable:
        return True
    if figures.nodes:
        return 2 * sum(not it.is_fresh for it in figures.nodes) >= len(figures.nodes)
    if state.last is None or not state.last.current:
        return False
    return state.blind_at is None or now - state.blind_at < policy.blind_seconds


def _held(ready: int, state: State, now: float) -> tuple[Recommendation, State]:
    """Return the last good recommendation; no quiet time counts across the gap."""
    desired = state.last.desired if state.last else ready
    held = Recommendation(Decision.HOLD, Reason.STALE, ready, desired, desired)
    blind_at = now if state.blind_at is None else state.blind_at
    return held, replace(state, quiet_since={}, blind_at=blind_at)


def _last_desired(policy: Policy, state: State) -> int:
    """Return what was last recommended, within the limits as they are now."""
    desired = state.last.desired if state.last else 0
    return min(desired, policy.max_nodes) if policy.max_nodes else desired


def _needed(
    policy: Policy,
    figures: Figures,
    demands: Mapping[Reason, Demand],
    reference: int,
    waiting: int,
    ready: Sequence[NodeFigures],
) -> tuple[int, Reason]:
    """Return how many nodes the figures ask for, within the limits, and what asks for them."""
    reason = max(demands, key=lambda it: demands[it].nodes, default=Reason.SESSIONS)
    serving = demands[reason].nodes if demands else float(waiting > 0)
    plain = math.ceil(serving - _LITTLE) + policy.spare_nodes
    needed = plain
    ratio = serving / max(1, reference - policy.spare_nodes)
    if reference > policy.spare_nodes and abs(ratio - 1) <= policy.tolerance and not waiting:
        needed = reference
    if waiting:
        reason = Reason.OVERFLOW
        if all(_is_full(it) for it in ready):
            needed = max(needed, len(ready) + 1)
    if figures.oldest_task_seconds > policy.task_seconds and needed < plain + 1:
        needed, reason = plain + 1, Reason.TASKS
    if policy.max_nodes and needed > policy.max_nodes:
        return policy.max_nodes, Reason.MAXIMUM
    if needed <= policy.min_nodes:
        return policy.min_nodes, Reason.MINIMUM
    return needed, reason


def _demands(
    policy: Policy, figures: Figures, node: NodeFigures | None, waiting: int
) -> dict[Reason, Demand]:
    if node is None:
        return {}
    per_session = figures.overflow_bytes / figures.overflow if figures.overflow else 0.0
    nodes = [it for it in figures.nodes if it.sessions]  # an idle process needs a little, too
    parts = {
        Reason.RAM: (
            sum(it.used_bytes for it in nodes) + per_session * waiting,
            float(node.capacity_bytes),
        ),
        Reason.SESSIONS: (
            float(sum(it.sessions for it in nodes) + waiting),
            float(node.max_sessions),
        ),
        Reason.CPU: (sum(it.cpu for it in nodes), 1.0),
    }
    return {
        name: Demand(demand, capacity, demand / (policy.target_load * capacity))
        for name, (demand, capacity) in parts.items()
        if capacity > 0
    }


def _mean(nodes: Sequence[NodeFigures]) -> NodeFigures | None:
    """Return a node of the mean capacity."""
    if not nodes:
        return None
    capacity = sum(it.capacity_bytes for it in nodes) // len(nodes)
    most = max(1, round(sum(it.max_sessions for it in nodes) / len(nodes)))
    return NodeFigures("", "", 0, capacity, 0, most, 0.0)


def _is_full(node: NodeFigures) -> bool:
    return (
        node.used_bytes >= _FULL * node.capacity_bytes or node.sessions >= _FULL * node.max_sessions
    )


def _step_limit(policy: Policy, state: State, reference: int) -> int:
    """Return the most nodes that may be recommended now."""
    base = max(policy.min_nodes, min((count for _, count in state.desired), default=reference))
    return base + max(policy.step_nodes, math.ceil(policy.step_share * base))


def _recent(
    before: Sequence[tuple[float, int]], now: float, seconds: float, value: int
) -> tuple[tuple[float, int], ...]:
    """Return the values of a time with a new one; equal ones in a row only at their ends.

    Of what is older the last value stays: it holds at the beginning of the time.
    """
    kept = list(before)
    while len(kept) > 1 and kept[1][0] <= now - seconds:
        kept.pop(0)
    if len(kept) > 1 and kept[-1][1] == kept[-2][1] == value:
        kept[-1] = (now, value)
    else:
        kept.append((now, value))
    return tuple(kept)


def _lasting(samples: Sequence[tuple[float, int]], now: float, seconds: float) -> int:
    """Return the lowest count of a time; 0 when it has not been counted for so long.

    So many wait in all of it, whatever any wall clock says.
    """
    if not samples or now - samples[0][0] < seconds:
        return 0
    return min(count for _, count in samples)


def _decision(desired: int, current: int) -> Decision:
    if desired > current:
        return Decision.OUT
    return Decision.IN if desired < current else Decision.HOLD


def _is_same(found: Recommendation, last: Recommendation | None) -> bool:
    return last is not None and (found.decision, found.desired) == (last.decision, last.desired)
