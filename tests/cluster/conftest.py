"""Labs, each in its own home."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from labs import NewLab

from afx.lab import Lab, temporary_settings


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
