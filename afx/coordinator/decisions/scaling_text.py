"""A recommendation of scaling in a sentence."""

from __future__ import annotations

from afx.coordinator.decisions.scaling import Policy, Reason, Recommendation

_MIB = 1024 * 1024


def sentence(found: Recommendation, policy: Policy) -> str:
    """Return why so many nodes are recommended; no full stop."""
    demand = found.demands.get(found.reason)
    if demand is not None:
        return (
            f"{found.reason if found.reason is Reason.SESSIONS else found.reason.upper()} "
            f"fills {demand.nodes:.1f} nodes at {policy.target_load:.0%}"
            f"{_spare(policy)}"
        )
    return {
        Reason.STEADY: "the nodes suffice, and none is to spare",
        Reason.OVERFLOW: (f"{_many(found.overflow, 'session waits', 'sessions wait')} for room"),
        Reason.TASKS: f"the oldest task has waited for {found.oldest_task_seconds:.0f} s",
        Reason.MINIMUM: f"scale_min_nodes is {policy.min_nodes}",
        Reason.MAXIMUM: f"scale_max_nodes is {policy.max_nodes}",
        Reason.STEP: f"{found.needed} nodes are needed, and are added in steps",
        Reason.WINDOW: (
            f"{_many(found.needed, 'node', 'nodes')} would do, but not for {policy.window_seconds / 60:g} min yet"
        ),
        Reason.BUSY: (
            f"{_many(found.needed, 'node', 'nodes')} would do, but none was below {policy.quiet_load:.0%} for "
            f"{policy.window_seconds / 60:g} min"
        ),
        Reason.NO_ROOM: (
            f"{_many(found.needed, 'node', 'nodes')} would do, but the others would be fuller than "
            f"{policy.peers_load:.0%} without a quiet one"
        ),
        Reason.SPARE: (
            f"{_many(len(found.removable), 'node was', 'nodes were')} below "
            f"{policy.quiet_load:.0%} for "
            f"{policy.window_seconds / 60:g} min, and the others have room for their sessions"
        ),
        Reason.STALE: "the nodes' figures are old; the last recommendation holds",
    }.get(found.reason, str(found.reason))


def _many(count: int, one: str, several: str) -> str:
    return f"{count} {one if count == 1 else several}"


def _spare(policy: Policy) -> str:
    return f", and {policy.spare_nodes} is spare" if policy.spare_nodes else ""
