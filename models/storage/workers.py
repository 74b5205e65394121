"""Worker nodes that were seen, and their desired state."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from afx import process_names
from afx.errors import NotFoundError, printable
from models import names, paging
from models.base import execute_many, micros, transaction, utc_now
from models.paging import Page
from models.tables import Worker


@dataclass(slots=True, frozen=True)
class Seen:
    """A node as the coordinator sees it."""

    name: str
    incarnation: str
    hostname: str
    state: str
    forwarded: int = 0
    """Messages since the start of the incarnation."""
    takes_over: str = ""
    """The process that it replaces just now; empty: none."""


def seen_many(rows: Iterable[Seen]) -> None:
    """Store nodes, one row per name.

    A further process that is new gets the desired state of its node, and keeps its own one
    from then on. One that replaces another one gets that one's, when it begins: its name may
    have been that of a process that was cordoned long ago.
    """
    now = micros(utc_now())
    execute_many(
        "INSERT INTO workers"
        " (name, incarnation, hostname, state, desired_state, forwarded, first_seen, last_seen)"
        " VALUES (?, ?, ?, ?,"
        " COALESCE((SELECT desired_state FROM workers WHERE name = ?), 'ready'),"
        " ?, ?, ?) ON CONFLICT (name) DO UPDATE SET"
        " desired_state = CASE WHEN workers.incarnation <> EXCLUDED.incarnation AND ? <> ''"
        " THEN EXCLUDED.desired_state ELSE workers.desired_state END,"
        " incarnation = EXCLUDED.incarnation, hostname = EXCLUDED.hostname,"
        " state = EXCLUDED.state, forwarded = EXCLUDED.forwarded,"
        " last_seen = EXCLUDED.last_seen",
        [
            (
                it.name,
                it.incarnation,
                it.hostname,
                it.state,
                it.takes_over or process_names.node_of(it.name),
                it.forwarded,
                now,
                now,
                it.takes_over,
            )
            for it in rows
        ],
    )


def forwarded() -> dict[str, int]:
    """Return what each node's latest incarnation had forwarded, by incarnation."""
    query = Worker.select(Worker.incarnation, Worker.forwarded)
    return {str(incarnation): int(count) for incarnation, count in query.tuples()}


def find(text: str) -> Worker:
    """Return a node, or a further process of one, by name or unique prefix.

    A prefix means a node, never one of its processes: ``w1.1`` is the first one, and not
    the tenth. Raises UsageError when none was ever seen.
    """
    worker: Worker | None
    if process_names.is_further(text):
        worker = Worker.get_or_none(Worker.name == process_names.named(text))
        if worker is None:
            raise NotFoundError(
                f"There is no process '{printable(text)}'; 'afx worker show "
                f"{printable(process_names.node_of(text))}' shows those of its node."
            )
        return worker
    worker = names.find(Worker, "worker", text, within=~Worker.name.contains("."))
    return worker


def further_processes(node: str) -> list[Worker]:
    """Return the processes of a node that were ever seen, but for the first, by name.

    A process has none.
    """
    beginning = names.beginning(Worker.name, f"{node}.")
    return list(Worker.select().where(beginning).order_by(Worker.name))


def desired_states() -> dict[str, str]:
    """Return the desired states by name: all of further processes, of others but ``ready``."""
    query = Worker.select(Worker.name, Worker.desired_state).where(
        (Worker.desired_state != "ready") | Worker.name.contains(".")
    )
    return {str(name): str(state) for name, state in query.tuples()}


def set_desired_state(name: str, state: str) -> None:
    """Set the desired state of a node: ready, cordoned or draining."""
    with transaction():
        Worker.update(desired_state=state).where(Worker.name == name).execute()


def remove(name: str) -> None:
    """Remove a node; raises UsageError when none of that name was ever seen."""
    with transaction():
        if not Worker.delete().where(Worker.name == name).execute():
            raise NotFoundError(f"There is no worker '{printable(name)}'; nothing was removed.")


def listing(*, after: str | None = None, limit: int = 1000) -> Page:
    """Return nodes that were ever seen, by name."""
    return paging.fetch(Worker.select(), Worker.name, after=after, limit=limit)


def names_beginning(prefix: str) -> list[str]:
    """Return, for completion, nodes' names that begin with a text."""
    return names.completions(Worker.select(Worker.name), Worker.name, prefix)
