"""Canaries that a killed run has left over are removed by the next one."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from support.databases import open_sqlite

from afx.app import context_for
from afx.config import load
from afx.operations.context import Context
from afx.verify import canary
from models import base
from models.base import utc_now
from models.storage import users
from models.tables import User


@pytest.fixture
def context(home: Path) -> Iterator[Context]:
    open_sqlite(home)
    yield context_for(load(home=home), "test")
    base.close_database()


def test_old_canaries_are_removed_and_nobody_else(context: Context) -> None:
    for name in ("afx-verify-old", "afx-verify-now", "afx-verifier", "alice"):
        users.create(name)
    old = utc_now() - timedelta(hours=2)
    User.update(created_at=old).where(User.name != "afx-verify-now").execute()
    canary._remove_left_over(context)
    names = {it["name"] for it in users.listing().rows}
    assert names == {"afx-verify-now", "afx-verifier", "alice"}
