"""The coordinators' shared row: the generation, the term, and the last report read."""

from __future__ import annotations

from afx.errors import FencedError
from models.base import transaction
from models.tables import ClusterState

_REPLACED = "replaced"
"""In the place of a run id: no Redis process has it."""


def begin_generation(term: int, above: int = 0, *, run_id: str = "") -> int:
    """Start a new leader's generation of epochs, above any before; returns it.

    ``above`` is the highest that Redis knows: a database that was restored may
    have lost some. ``run_id`` is that of the Redis process of the term. If another one was
    the last, ``last_run_id`` is none's until ``set_reports_read`` names one: should that
    other one take its place back before, it has been replaced all the same.

    Raises FencedError unless the term is above all that have begun: a Redis that lost data
    may elect a second leader with the same term.
    """
    with transaction():
        changed = (
            ClusterState.update(term=term, commits=ClusterState.commits + 1)
            .where((ClusterState.id == 1) & (ClusterState.term < term))
            .execute()
        )
        if not changed:
            raise FencedError(
                f"Term {term}, or a newer one, has begun in SQL; this coordinator stands by."
            )
        state = ClusterState.get_by_id(1)
        generation = max(int(state.generation), above) + 1
        ClusterState.update(generation=generation).where(ClusterState.id == 1).execute()
        if state.reports_run_id not in ("", run_id):
            set_reports_read(_REPLACED, "0")
        return generation


def note_generation(generation: int) -> None:
    """Let the next generation begin above this one, which the database did not know."""
    ClusterState.update(generation=generation).where(
        (ClusterState.id == 1) & (ClusterState.generation < generation)
    ).execute()


def generation() -> int:
    """Return the generation of epochs that the last leader began; 0 for none."""
    state = ClusterState.get_or_none(ClusterState.id == 1)
    return int(state.generation) if state else 0


def term() -> int:
    """Return the highest term of a leader that has written here."""
    state = ClusterState.get_or_none(ClusterState.id == 1)
    return int(state.term) if state else 0


def check_writable() -> None:
    """Raise UnreachableError, or StorageError, when the database takes no writes."""
    with transaction():
        ClusterState.update(id=ClusterState.id).execute()


def hold(term: int) -> None:
    """Take the term for a transaction: the leader calls it first in each one.

    Raises FencedError when a newer term has begun.
    """
    _take(term)


def count_commit(term: int) -> int:
    """Take the term for a transaction as ``hold`` does, and count it; returns the count.

    A database never counts fewer, unless it has lost commits.
    """
    _take(term, commits=ClusterState.commits + 1)
    return commits()


def commits() -> int:
    """Return how many transactions leaders have committed."""
    state = ClusterState.get_or_none(ClusterState.id == 1)
    return int(state.commits) if state else 0


def reports_read(run_id: str) -> str:
    """Return the id of the last report that is in the database; "0" for none.

    ``run_id`` is that of the Redis process that has the reports. Another one may give
    out ids again that were read before, or lower ones.
    """
    state = ClusterState.get_or_none(ClusterState.id == 1)
    return str(state.reports_read) if state and state.reports_run_id == run_id else "0"


def last_run_id() -> str:
    """Return the id of the Redis process whose reports were last read; "" for none."""
    state = ClusterState.get_or_none(ClusterState.id == 1)
    return str(state.reports_run_id) if state else ""


def set_reports_read(run_id: str, entry: str) -> None:
    """Note the last report read, in the transaction that wrote what it says."""
    ClusterState.update(reports_run_id=run_id, reports_read=entry).where(
        ClusterState.id == 1
    ).execute()


def _take(term: int, **changes: object) -> None:
    changed = (
        ClusterState.update(term=term, **changes)
        .where((ClusterState.id == 1) & (ClusterState.term <= term))
        .execute()
    )
    if not changed:
        raise FencedError(
            f"Another coordinator leads: a newer term than {term} has begun in SQL; "
            "this one stands by."
        )
