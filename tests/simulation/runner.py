"""Starts the process in which schedules run, for the tests.

It is a process of its own: the stand-ins replace parts of the real code for good, and the
order of sets of strings must not change from run to run.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

_TESTS = Path(__file__).parents[1]


@dataclass(slots=True, frozen=True)
class Outcome:
    """What became of one schedule."""

    seed: int
    opened: int
    """How many connections to Telegram were made."""
    recovered: float
    """How many seconds after the faults' end every session ran."""
    violations: list[str]


def run(first: int, end: int, step: int = 1, rule: str = "") -> list[Outcome]:
    """Run schedules; with a rule left out, up to the first violation."""
    text = _start([str(first), str(end), str(step), *([rule] if rule else [])])
    return [Outcome(*json.loads(line)) for line in text.splitlines()]


def replay(seed: int, rule: str = "") -> str:
    """Return the trace of one schedule, its violations, and the faults that suffice."""
    return _start(["--replay", str(seed), *([rule] if rule else [])])


def _start(arguments: list[str]) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "simulation", *arguments],
        cwd=_TESTS,
        env={**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": str(_TESTS)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout
