"""A leader with real executors of tasks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.databases import open_sqlite
from support.task_bench import TaskBench

from models import base


@pytest.fixture
def bench(home: Path, redis_url: str) -> Iterator[TaskBench]:
    open_sqlite(home)
    bench = TaskBench(home, redis_url)
    yield bench
    bench.close()
    base.close_database()
