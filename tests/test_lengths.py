"""Modules are short enough to be read at once (see CONTRIBUTING.md)."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parent.parent
OURS = ("afx", "cli", "jobs", "models", "tests", "scripts")
MOST_LINES = 450
USUAL_LINES = 250


def lines() -> dict[str, int]:
    return {
        path.relative_to(ROOT).as_posix(): len(path.read_text().splitlines())
        for place in OURS
        for path in (ROOT / place).rglob("*.py")
    }


def test_no_module_is_too_long_to_be_read_at_once() -> None:
    assert not {name: count for name, count in lines().items() if count > MOST_LINES}


def test_nine_modules_in_ten_are_short() -> None:
    counts = [it for it in lines().values() if it]
    assert sum(it < USUAL_LINES for it in counts) >= 0.9 * len(counts)
