"""What becomes of tasks and schedules when a user or a session is removed.

SQLite gives a removed row's id to the next one: what named it must not be another customer's.
"""

from __future__ import annotations

from collections.abc import Sequence

from models.tables import WorkerTask
from models.task_tables import TaskSchedule

_NO_SESSION = 0
"""No session has this id; an empty list stands for a kind that needs none."""


def forget_user(user: int) -> None:
    """Remove a user's schedules, and leave its tasks to the operators.

    Inside the transaction that removes the user.
    """
    TaskSchedule.delete().where(TaskSchedule.user_id == user).execute()
    WorkerTask.update(user_id=0).where(WorkerTask.user_id == user).execute()


def forget_sessions(ids: Sequence[int]) -> None:
    """Take sessions out of the schedules that name them.

    Inside the transaction that removes the sessions; their tasks end by themselves.
    """
    gone = set(ids)
    for it in TaskSchedule.select().where(TaskSchedule.sessions.is_null(False)):
        if gone.intersection(it.sessions):
            left = [one for one in it.sessions if one not in gone] or [_NO_SESSION]
            TaskSchedule.update(sessions=left).where(TaskSchedule.id == it.id).execute()
