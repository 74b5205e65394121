"""The state machines of assignments, tasks and controls.

assignment   assigned → running → stopping → ended
             assigned → stopping, and any → ended
task         waiting → queued → published → running → succeeded | failed | cancelled
             published | running → queued | waiting (again), any unfinished → cancelled,
             queued → waiting (its session does not run), queued → failed,
             failed | cancelled → queued (by hand), any unfinished → paused → queued
control      requested → sent → acknowledged → done
             any of the first three → done | failed | cancelled
"""

from __future__ import annotations

from afx.errors import ConflictError

TASK = {
    "waiting": {"queued", "cancelled", "failed", "paused"},
    "queued": {"waiting", "published", "cancelled", "failed", "paused"},
    "published": {"waiting", "queued", "running", "succeeded", "failed", "cancelled", "paused"},
    "running": {"waiting", "queued", "succeeded", "failed", "cancelled", "paused"},
    "paused": {"queued", "cancelled"},
    "succeeded": set[str](),
    "failed": {"queued"},
    "cancelled": {"queued"},
}
CONTROL = {
    "requested": {"sent", "done", "failed", "cancelled"},
    "sent": {"acknowledged", "done", "failed", "cancelled"},
    "acknowledged": {"done", "failed", "cancelled"},
    "done": set[str](),
    "failed": set[str](),
    "cancelled": set[str](),
}


class TransitionError(ConflictError):
    """The transition is not allowed from the current state; nothing was changed."""

    exit_code = 1


def sources(machine: dict[str, set[str]], target: str) -> tuple[str, ...]:
    """Return the states from which ``target`` may be reached."""
    return tuple(state for state, reached in machine.items() if target in reached)


def refuse(kind: str, name: object, state: str | None, target: str) -> TransitionError:
    """Return the error of a transition that is not allowed."""
    if state is None:
        return TransitionError(f"There is no {kind} {name}; list them and try again.")
    return TransitionError(
        f"{kind.capitalize()} {name} is {state} and cannot become {target}; nothing was changed."
    )
