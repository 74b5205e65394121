"""The coordinators' shared row: generation, term, how far reports were read."""

from __future__ import annotations

from afx.errors import FencedError
from models.base import transaction
from models.tables import ClusterState


def begin_generation(term: int, above: int = 0) -> int:
    """Start a new leader's generation of epochs, above any before; returns it.

    ``above`` is the highest that is known from elsewhere: a database that was
    restored may have forgotten some. Raises FencedError when a leader with a
    newer term has begun already.
    """
    with transaction():
        hold(term)
        state = ClusterState.get_by_id(1)
        generation = max(int(state.generation), above) + 1
        ClusterState.update(generation=generation).where(ClusterState.id == 1).execute()
        return generation


def term() -> int:
    """Return the highest term of a leader that has written here."""
    state = ClusterState.get_or_none(ClusterState.id == 1)
    return int(state.term) if state else 0


def hold(term: int) -> None:
    """Let only the newest leader write: call it first in each transaction.

    Raises FencedError when a leader with a newer term has begun.
    """
    changed = (
        ClusterState.update(term=term)
        .where((ClusterState.id == 1) & (ClusterState.term <= term))
        .execute()
    )
    if not changed:
        raise FencedError("Another coordinator leads now.")


def reports_read() -> str:
    """Return the id of the last report that is in the database."""
    state = ClusterState.get_or_none(ClusterState.id == 1)
    return str(state.reports_read) if state else "0"


def set_reports_read(entry: str) -> None:
    """Note how far reports were read, in the transaction that wrote them."""
    ClusterState.update(reports_read=entry).where(ClusterState.id == 1).execute()
