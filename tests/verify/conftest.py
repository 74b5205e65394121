"""An empty cluster, to be verified."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.databases import open_sqlite

from afx.app import context_for
from afx.config import load
from afx.verify.result import Target
from models import base


@pytest.fixture
def target(home: Path, redis_url: str) -> Iterator[Target]:
    """An empty cluster: a database and a Redis, and nothing that runs."""
    open_sqlite(home)
    settings = load(home=home, redis_url=redis_url)
    yield Target(context_for(settings, "test"), "http://127.0.0.1:9", seconds=0.2)
    base.close_database()
