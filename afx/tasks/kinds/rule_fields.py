"""Rules of the session of a task, as the node has them."""

from __future__ import annotations

from typing import Any

from afx.tasks.kinds.base import TaskFailedError, TaskRun


def rule_of(task: TaskRun, number: int) -> Any:
    """Return a rule of the task's session; raises TaskFailedError when it has none such."""
    found = next((it for it in task.rules if it.id == number), None)
    if found is None:
        raise TaskFailedError(
            f"The session has no enabled rule {number}; 'afx rule list' shows them."
        )
    return found
