"""One application for each module of tests."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.api import TestedApi, tested_api

from afx.cluster.connection import connect
from afx.local import private_redis


@pytest.fixture(scope="module")
def api(_redis_home: Path) -> Iterator[TestedApi]:
    """An API over SQLite and a real Redis."""
    url = private_redis.url_for(_redis_home)
    client = connect(url)
    client.flushall()
    client.close()
    home = Path(tempfile.mkdtemp(prefix="afx-t-"))
    with tested_api(home, url) as found:
        yield found
    shutil.rmtree(home, ignore_errors=True)
