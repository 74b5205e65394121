"""Labs, each in its own home."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.labs import FlowingLab, NewLab, start, start_flow
from support.redis_pair import RedisPair

from afx.lab.cluster import LabCluster, temporary_settings

_LOG_BYTES = 200_000


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show a failed test's cluster log: its home is gone soon after."""
    report = yield
    home = getattr(item, "funcargs", {}).get("home")
    if report.when == "call" and report.failed and home and (home / "cluster.log").exists():
        text = (home / "cluster.log").read_text(errors="replace")[-_LOG_BYTES:]
        report.sections.append(("cluster.log", text))
    return report


@pytest.fixture
def new_lab(home: Path) -> Iterator[NewLab]:
    """Returns a lab without coordinators, nodes and sessions."""
    with contextlib.ExitStack() as closing:

        def make(variables: dict[str, str] | None = None, **flags: Any) -> LabCluster:
            return closing.enter_context(
                LabCluster(temporary_settings(home, **flags), variables=variables)
            )

        yield make


@pytest.fixture
def pair() -> Iterator[RedisPair]:
    """A primary and its replica, which do not write without each other."""
    made = RedisPair()
    yield made
    made.close()


@pytest.fixture
def flowing_lab(new_lab: NewLab) -> FlowingLab:
    """Returns a lab whose sessions all run while messages flow."""

    def make(
        nodes: int = 2,
        sessions: int = 8,
        *flags: str,
        posts: int = 600,
        rate: float = 150.0,
        linked: bool = False,
        variables: dict[str, str] | None = None,
        **settings: Any,
    ) -> LabCluster:
        lab = new_lab(variables, **settings)
        start(lab, nodes, sessions, *flags, linked=linked)
        start_flow(lab, posts, rate)
        return lab

    return make
