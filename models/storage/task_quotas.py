"""How many unfinished tasks a user may have."""

from __future__ import annotations

from collections.abc import Mapping

from afx.errors import QuotaError
from models.base import execute_many
from models.storage import tasks, users

_MOST_OPEN = 200_000
"""Of a user without a limit of its own, and of all tasks that belong to no user."""


def check(new: Mapping[int, int]) -> None:
    """Raise QuotaError when a user would have too many; ``new`` is user → how many more.

    User 0 stands for none. Inside the transaction that submits them: it locks the users' rows,
    so that of two who submit at once the second counts the tasks of the first.
    """
    execute_many(
        "UPDATE users SET task_limit = task_limit WHERE id = ?", [(it,) for it in sorted(new) if it]
    )
    limits = users.task_limits(list(new))
    for user, count in new.items():
        most = limits.get(user, _MOST_OPEN)
        if sum(tasks.counts(user=user).values()) + count > most:
            raise QuotaError(
                f"A user of these sessions may have {most} unfinished tasks; wait until some "
                "have finished, or raise it with 'afx user tasks'."
                if user
                else f"There may be {most} unfinished tasks without a user; wait for some of them."
            )
