"""Labs, each in its own home."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.labs import NewLab

from afx.lab.cluster import Lab, temporary_settings

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
    opened: list[Lab] = []

    def make(variables: dict[str, str] | None = None, **flags: Any) -> Lab:
        lab = Lab(temporary_settings(home, **flags), variables=variables)
        opened.append(lab.__enter__())
        return lab

    yield make
    for lab in opened:
        lab.close()
