"""A database, and a term of leadership that is ticked by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.databases import open_sqlite
from support.term_harness import TermHarness

from models import base


@pytest.fixture
def sql(home: Path) -> Iterator[None]:
    open_sqlite(home)
    yield
    base.close_database()


@pytest.fixture
def harness(home: Path, redis_url: str, sql: None) -> Iterator[TermHarness]:
    del sql
    harness = TermHarness(home, redis_url)
    yield harness
    harness.close()
