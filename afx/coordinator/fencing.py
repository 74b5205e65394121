"""Transactions that only the leader of the newest term may commit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from afx.cluster.leadership import Leadership
from afx.errors import FencedError
from models.base import transaction
from models.storage import cluster


@contextmanager
def fenced_transaction(leadership: Leadership) -> Iterator[None]:
    """Commit what the block writes, in the leader's term.

    Raises FencedError when the leadership has expired, a newer term has begun, or the
    database has lost commits of this term: a standby that lacks them was promoted, so
    that it differs from the leader's memory.
    """
    leadership.check()
    with transaction():
        count = cluster.count_commit(leadership.term)
        if count <= leadership.commits:
            raise FencedError(
                f"The database has lost commits of term {leadership.term}; "
                "the next term reads all assignments again."
            )
        yield
    leadership.commits = count
