"""Tasks as signed jobs: their queues, their ids, and the arguments of their envelopes.

A task's job is published once under each of its ids, ``task-ID-PUBLICATION``: what is said
about one publication never meets another one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from afx.cluster import queues
from afx.cluster.fields import INT32_LIMIT

TASK_PURPOSE = "task"
ANY_NODE = "any node"
"""The audience of a task that needs no session."""
PRIORITIES = ("premium", "high", "default", "low")
"""The queues of tasks, the first one first."""
KIND_PREFIX = "jobs.tasks."
INPUT_LIMIT = 48 * 1024
CURSOR_LIMIT = 16 * 1024
"""Characters of JSON."""
REPLAY = "rule.replay"
"""The kind of task of which a session does the work by itself, until it is told to end that."""
SESSION_TASKS = 4
"""Tasks of one session that run at once. Its node is given no more of them: one that it has,
and does not start, is taken for lost."""
_JOB_ID = re.compile(r"task-([1-9][0-9]{0,9})-([1-9][0-9]{0,9})", re.ASCII)
_FIELDS = frozenset({"session", "attempt", "timeout", "input", "cursor"})
_MOST_SECONDS = 7 * 86_400


@dataclass(slots=True, frozen=True)
class TaskJob:
    """What a node is told of a task, besides its kind."""

    task_id: int
    publication: int
    session_id: int
    """0: it needs none."""
    attempt: int
    """1 for the first one."""
    timeout_seconds: int
    input: str
    """The kind's arguments: a JSON object, or what a vault sealed."""
    cursor: str
    """Where an earlier attempt has come to, as JSON; empty: nowhere."""


def shared_queue(priority: int) -> str:
    """The queue of the tasks of a priority that any node may run."""
    return PRIORITIES[priority]


def node_queue(node: str, incarnation: str, priority: int) -> str:
    """The queue of the tasks of a priority whose sessions one incarnation runs."""
    return f"{queues.node(node, incarnation)}-{PRIORITIES[priority]}"


def job_kind(kind: str) -> str:
    """Return the name under which RQ's tools show a kind: ``jobs.tasks.chat_join``."""
    return KIND_PREFIX + kind.replace(".", "_")


def job_id(task_id: int, publication: int) -> str:
    """Return the id of a publication's job."""
    return f"task-{task_id}-{publication}"


def parse_job_id(text: str) -> tuple[int, int] | None:
    """Return (task, publication) of a job's id; None if it is none of a task."""
    found = _JOB_ID.fullmatch(text)
    if found is None:
        return None
    task_id, publication = int(found[1]), int(found[2])
    return (task_id, publication) if max(task_id, publication) < INT32_LIMIT else None


def encode_task(job: TaskJob) -> dict[str, Any]:
    """Return the arguments of a task's envelope."""
    return {
        "session": job.session_id,
        "attempt": job.attempt,
        "timeout": job.timeout_seconds,
        "input": job.input,
        "cursor": job.cursor,
    }


def parse_task(job_id_text: str, arguments: Mapping[str, Any]) -> TaskJob:
    """Return the task of an envelope; raises ValueError for any other arguments."""
    numbers = parse_job_id(job_id_text)
    if numbers is None or set(arguments) != _FIELDS:
        raise ValueError("A task's job has other arguments, or another id.")
    session, attempt, timeout = (arguments[it] for it in ("session", "attempt", "timeout"))
    counts = ((session, 0, INT32_LIMIT), (attempt, 1, INT32_LIMIT), (timeout, 1, _MOST_SECONDS))
    if not all(type(it) is int and least <= it <= most for it, least, most in counts):
        raise ValueError("A task's session, attempt or time-out is out of range.")
    text, cursor = arguments["input"], arguments["cursor"]
    if not isinstance(text, str) or len(text) > INPUT_LIMIT:
        raise ValueError("A task's input is no text, or too long.")
    if not isinstance(cursor, str) or len(cursor) > CURSOR_LIMIT:
        raise ValueError("A task's cursor is no text, or too long.")
    return TaskJob(*numbers, session, attempt, timeout, text, cursor)


def parse_cursor(text: str) -> dict[str, Any]:
    """Return a cursor; raises ValueError for what is no JSON object."""
    if not text:
        return {}
    try:
        found = json.loads(text)
    except RecursionError as error:
        raise ValueError("A cursor is nested too deeply.") from error
    if not isinstance(found, dict):
        raise ValueError("A cursor is a JSON object.")
    return found
