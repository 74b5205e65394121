"""A leader with real executors of tasks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.task_bench import TaskBench

from models import base, schema


@pytest.fixture
def bench(home: Path, redis_url: str) -> Iterator[TaskBench]:
    base.open_database(f"sqlite:///{home}/afx.db")
    schema.upgrade()
    bench = TaskBench(home, redis_url)
    yield bench
    bench.close()
    base.close_database()
