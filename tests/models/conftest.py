"""Rows that most tests of the storage need."""

from __future__ import annotations

from typing import Any

import pytest

from models.storage import (
    cluster,
    rules,
    sessions,
    users,
)
from models.storage.rules import NewRule
from models.storage.sessions import NewSession


@pytest.fixture
def ids(database: Any) -> list[int]:
    """Three sessions of one user, each with a rule."""
    owner = users.create("alice")
    made = sessions.create_many(owner, [NewSession(f"s{number}", "sealed") for number in range(3)])
    rules.create_many([NewRule(it, "r", ["-1"], ["-2"]) for it in made])
    cluster.begin_generation(1)
    return made
