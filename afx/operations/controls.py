"""Acts on controls."""

from __future__ import annotations

from afx.operations.change import Operator, change
from models.storage import controls, workers


def cancel(operator: Operator, number: int) -> str:
    """Call a control off; a node that it was draining stays cordoned.

    Returns what that means, in a sentence. Raises TransitionError when it is
    finished, UsageError when there is none.
    """
    held = controls.get(number)
    with change(operator, "control.cancel", f"control/{number}") as details:
        controls.cancel(number, f"cancelled by {operator.actor}")
        details.update({"kind": held["kind"], "worker": held["worker"], "session": held["session"]})
        if held["kind"] == "drain":
            workers.set_desired_state(held["worker"], "cordoned")
            return f"the drain of {held['worker']} is called off; it stays cordoned"
    return f"control {number} ({held['kind']}) is called off"
