"""Opening a database, and the UTC field; on SQLite and on Postgres."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from afx.errors import ConfigError, UnreachableError
from models import base, tables
from models.storage import users


def test_an_instant_is_stored_unchanged(database: Any) -> None:
    at = datetime(2026, 3, 29, 2, 30, 0, 123456, UTC)
    tables.User.create(name="then", created_at=at)
    assert users.find("then").created_at == at
    with pytest.raises(ValueError, match="naive"):
        tables.User.create(name="naive", created_at=datetime(2026, 1, 1))  # noqa: DTZ001


def test_a_database_of_another_kind_is_refused() -> None:
    with pytest.raises(ConfigError, match="postgresql"):
        base.open_database("mysql://x/y")


def test_a_database_that_does_not_answer_gives_one_sentence(home: Path) -> None:
    with pytest.raises(UnreachableError, match="AFX_DATABASE_URL"):
        base.open_database(f"sqlite:///{home}/missing/afx.db")
