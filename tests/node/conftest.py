"""A running executor, and a file that only a forged job would create."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.executors import RunningExecutor


@pytest.fixture
def executor(redis_url: str) -> Iterator[RunningExecutor]:
    running = RunningExecutor(redis_url)
    yield running
    running.close()


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    return tmp_path / "it-ran"
