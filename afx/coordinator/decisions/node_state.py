"""The state that a node should be in, by its desired state and the controls about it."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from afx.process_names import node_of


def target_state(
    desired_state: str, *, state: str = "", kinds: Collection[str], forced: bool, sessions: int
) -> str:
    """Return the state to set; ``kinds`` are those of the open controls about the node.

    ``state`` is the present one. ``forced`` restarts the node as it is, without draining it
    first. A process whose replacement has begun is emptied and ends, whatever is requested
    since: another process is there for its sessions.
    """
    if "stop" in kinds:
        return "stopping"
    if state == "replacing" or ("replace" in kinds and desired_state == "ready"):
        return "replacing" if sessions and not forced else "recycling"
    if "recycle" in kinds or forced:
        return "draining" if sessions and not forced else "recycling"
    return desired_state


def desired_state(desired_states: Mapping[str, str], name: str) -> str:
    """Return the desired state of a node, or of a process: its own, else its node's.

    ``desired_states`` are by name; a node that they leave out is ``ready``, and a further
    process that they leave out is new.
    """
    return desired_states.get(name) or desired_states.get(node_of(name), "ready")


def may_change(state: str, target: str) -> bool:
    """Return whether a running node leaves a state for another one.

    A node that is stopping or restarting does so whatever is requested since.
    """
    return state not in (target, "stopping", "recycling")
