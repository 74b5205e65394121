"""What the tests of the simulation share: one process that runs schedules."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from simulation.runner import Runner, started


@pytest.fixture(scope="session")
def runner() -> Iterator[Runner]:
    """The process in which this test process runs schedules."""
    with started() as runner:
        yield runner
