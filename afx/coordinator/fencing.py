"""Transactions that only the leader of the newest term may commit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from afx.cluster.leadership import Leadership
from models.base import transaction
from models.storage import cluster


@contextmanager
def fenced_transaction(leadership: Leadership) -> Iterator[None]:
    """Commit what the block writes, in the leader's term.

    Raises FencedError when the leadership has expired or a newer term has begun.
    """
    leadership.check()
    with transaction():
        cluster.hold(leadership.term)
        yield
