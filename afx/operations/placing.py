"""Placement explained: why a session is where it is or waits, and what a drain would move."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic

from afx.cluster.registry import Registry
from afx.cluster.worker_records import WorkerView
from afx.coordinator.capacity import Capacity
from afx.coordinator.decisions import placement, placement_reasons
from afx.coordinator.decisions.placement import Node, PlacementRequest
from afx.operations import sessions
from afx.operations.context import Context, operation
from afx.operations.sessions import SessionDetail
from afx.process_names import is_further
from models.storage import assignments, workers
from models.storage import placing as stored

_MOST_STARTS = 1_000_000
_SHOWN = 100
_COST_DIGITS = 2
_HIBERNATES = {
    "requested": "on request",
    "no_rule": "it has no enabled rule",
    "quiet": "it was quiet, and its node was short of RAM",
}


@dataclass(slots=True, frozen=True)
class NodeVerdict:
    """What placement thinks of one node for one session."""

    node: str
    state: str
    fits: bool
    cost: float | None
    """The lowest of those that fit wins; None: it may take no session."""
    sessions: int
    reasons: Sequence[str]
    """Why it may not take the session; empty if it may."""


@dataclass(slots=True, frozen=True)
class Explanation:
    """Why a session runs where it does, or does not run."""

    session: str
    state: str
    node: str | None
    why: Sequence[str]
    """Sentences, the most important first."""
    needs_bytes: int
    """RAM that is planned for it; 0: it is not told to who sees one user only."""
    nodes: Sequence[NodeVerdict]
    """As they are now, the best first; none for who sees one user only."""


@dataclass(slots=True, frozen=True)
class Undrainable:
    """A session for which no other node has room."""

    session: str
    id: int
    reason: str


@dataclass(slots=True, frozen=True)
class DrainPreview:
    """Where the sessions of a node would go if it was drained now."""

    worker: str
    sessions: int
    fits: bool
    """Whether all of them find room."""
    targets: dict[str, int]
    """Node → how many sessions it would get."""
    left: int
    """How many find none."""
    undrainable: Sequence[Undrainable]
    """The first of those."""


@operation("session:read", owned=True)
def explain(context: Context, name: str) -> Explanation:
    """Return why a session is where it is, or why it waits, by what nodes report now."""
    detail = sessions.show(context, name)
    row = detail.session
    why = [*_where(detail), *_hindrances(detail)]
    if context.actor.owner:
        return Explanation(row.name, row.state, row.node, tuple(why), 0, ())
    views, capacity = _learned(context)
    [(_, request)] = _requests(capacity, [row.id])
    nodes = [_verdict(it, capacity, request) for it in views]
    nodes.sort(key=lambda it: (not it.fits, it.cost if it.cost is not None else 1e9, it.node))
    if row.state in ("waiting", "unplaced") and not why:
        why = [_why_waiting(nodes)]
    return Explanation(row.name, row.state, row.node, tuple(why), request.bytes, tuple(nodes))


@operation("worker:read")
def preview_drain(context: Context, name: str) -> DrainPreview:
    """Return where the sessions of a node would go now; drains move a few at a time."""
    worker = workers.find(name)
    views, capacity = _learned(context)
    further = [] if is_further(name) else workers.further_processes(worker.name)
    processes = [it.name for it in (worker, *further)]
    moving = [it for name in processes for it in assignments.sessions_on(name)]
    now = monotonic()
    homes = [
        placement.with_starts(capacity.node(it, now), _MOST_STARTS)
        for it in views
        if it.state == "ready" and it.name not in processes
    ]
    plan = placement.plan([it for _, it in _requests(capacity, moving)], homes)
    reasons = dict.fromkeys(plan.full, "no other node has room for it")
    reasons |= dict.fromkeys(plan.unmatched, "no other node has the labels that it requires")
    first = sorted(reasons)[:_SHOWN]
    names = stored.standing(first)
    return DrainPreview(
        worker.name,
        len(moving),
        not reasons,
        dict(sorted(Counter(it.node for it in plan.placed).items())),
        len(reasons),
        tuple(Undrainable(names[it].name, it, reasons[it]) for it in first if it in names),
    )


def _learned(context: Context) -> tuple[list[WorkerView], Capacity]:
    """Return the nodes, and what the leader would know of the sizes of sessions."""
    views = Registry(context.servers.redis()).all()
    capacity = Capacity(context.settings)
    capacity.learn(views, stored.class_counts([it.name for it in views]))
    return views, capacity


def _requests(capacity: Capacity, ids: Sequence[int]) -> list[tuple[int, PlacementRequest]]:
    return [(it, capacity.move_request(it, traits)) for it, traits in stored.traits(ids).items()]


def _verdict(view: WorkerView, capacity: Capacity, request: PlacementRequest) -> NodeVerdict:
    node: Node = capacity.node(view, monotonic())
    reasons = placement_reasons.against(node, request)
    if view.state != "ready":
        reasons.insert(0, f"it is {view.state}")
    cost = None if reasons else round(placement_reasons.cost(node, request), _COST_DIGITS)
    return NodeVerdict(view.name, view.state, not reasons, cost, node.sessions, tuple(reasons))


def _where(detail: SessionDetail) -> list[str]:
    """Return why the session is on its node: what has ended its assignment before."""
    row, history = detail.session, detail.history
    current = next((it for it in history if it.state != "ended"), None)
    if current is None:
        return []
    before = next((it for it in history if it.epoch < current.epoch), None)
    text = f"{current.node} has it since {current.assigned_at:%Y-%m-%d %H:%M:%S} UTC"
    if before is None:
        return [f"{text}: it was placed there first."]
    reason = f" ({before.reason})" if before.reason else ""
    return [f"{text}: before, it was on {before.node}{reason}.", *_state_of(row.state)]


def _state_of(state: str) -> list[str]:
    return {
        "assigned": ["It is being started there."],
        "stopping": ["It is being stopped there."],
    }.get(state, [])


def _hindrances(detail: SessionDetail) -> list[str]:
    """Return what keeps the session from running, as SQL says."""
    row = detail.session
    found = []
    if row.state == "removing":
        found.append("It is being removed.")
    elif row.desired_state == "paused":
        found.append("It is paused; resume it.")
    elif row.desired_state == "hibernated":
        at = f"; it wakes by {row.wakes_at:%Y-%m-%d %H:%M:%S} UTC" if row.wakes_at else ""
        found.append(f"It hibernates ({_HIBERNATES[row.hibernation]}){at}.")
    elif row.hibernation:
        why = _HIBERNATES[row.hibernation]
        found.append(f"It hibernates ({why}), and is awake for a short time.")
    if row.trouble:
        found.append(f"It has a trouble, and is tried again later: {row.trouble}.")
    has_rule = any(it.enabled for it in detail.rules)
    if not has_rule and row.node is None and not row.hibernation:
        found.append("It has no enabled rule, so there is nothing to do for it.")
    if row.waits:
        found.append(f"It waits in the overflow queue: {row.waits}.")
    return found


def _why_waiting(nodes: Sequence[NodeVerdict]) -> str:
    if not nodes:
        return "No node is registered; start one."
    if any(it.fits for it in nodes):
        return "A node fits; the leader places it in one of its next rounds."
    return "No node can take it now; the reasons are listed by node."
