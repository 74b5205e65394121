"""Assignments for tests of the storage."""

from __future__ import annotations

from models import base
from models.storage import (
    assignments,
)
from models.storage.assignments import Active


def assign(session: int, epoch: int = 1) -> None:
    with base.transaction():
        assignments.create_many([Active(session, "w1", "one", epoch, "assigned", revision=9)])
