"""What tasks log: a bounded number of lines of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from models.base import execute, execute_many, instant, micros

MOST_LINES = 500
"""Of one task; later ones are left out."""


@dataclass(slots=True, frozen=True)
class LogLine:
    """One line of a task's log."""

    id: int
    task: int
    at: datetime
    text: str


def append(rows: Sequence[tuple[int, int, datetime, str]]) -> None:
    """Append lines: (task, publication, at, text); inside a transaction.

    Those of an earlier publication, or of a task that does not exist, change nothing.
    """
    execute_many(
        "INSERT INTO task_logs (task_id, at, text)"
        " SELECT id, ?, ? FROM worker_tasks WHERE id = ? AND publication = ?"
        " AND (SELECT COUNT(*) FROM task_logs WHERE task_id = worker_tasks.id) < ?",
        [(micros(at), text, task, publication, MOST_LINES) for task, publication, at, text in rows],
    )


def lines(tasks: Sequence[int], *, beyond: int = 0, limit: int = 1_000) -> list[LogLine]:
    """Return the lines of at most 500 tasks that were written after the line ``beyond``."""
    if not tasks:
        return []
    cursor = execute(
        "SELECT id, task_id, at, text FROM task_logs"
        f" WHERE task_id IN ({', '.join('?' * len(tasks))}) AND id > ? ORDER BY id LIMIT ?",
        *tasks,
        beyond,
        limit,
    )
    return [
        LogLine(number, task, instant(at), text) for number, task, at, text in cursor.fetchall()
    ]
