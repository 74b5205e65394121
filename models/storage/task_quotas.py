"""How many unfinished tasks a user may have."""

from __future__ import annotations

from collections.abc import Mapping

from afx.errors import QuotaError
from models.storage import tasks, users

_MOST_OPEN = 200_000
"""Of a user without a limit of its own, and of all tasks that belong to no user."""


def check(new: Mapping[int, int]) -> None:
    """Raise QuotaError when a user would have too many; ``new`` is user → how many more.

    User 0 stands for none.
    """
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
