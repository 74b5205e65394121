"""Starts the processes in which schedules run, for the tests.

They are processes of their own: the stand-ins replace parts of the real code for good, and
the order of sets of strings must not change from run to run.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

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


class Runner:
    """A process that runs schedules one after another."""

    def __init__(self, process: subprocess.Popen[str], errors: IO[str]) -> None:
        self._process = process
        self._errors = errors

    def run(self, first: int, end: int, step: int = 1, rule: str = "") -> list[Outcome]:
        """Run schedules; with a rule left out, up to the first violation."""
        requests, answers = self._process.stdin, self._process.stdout
        assert requests is not None
        assert answers is not None
        requests.write(json.dumps([first, end, step, rule]) + "\n")
        requests.flush()
        line = answers.readline()
        if not line:
            self._process.wait()
            self._errors.seek(0)
            raise AssertionError(self._errors.read()[-3000:])
        return [Outcome(*it) for it in json.loads(line)]


@contextmanager
def started() -> Iterator[Runner]:
    """Start a process that runs schedules, and end it."""
    with TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "simulation", "--serve"],
            cwd=_TESTS,
            env=_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        try:
            yield Runner(process, errors)
        finally:
            process.kill()
            process.communicate()


def replay(seed: int, rule: str = "") -> str:
    """Return the trace of one schedule, its violations, and the faults that suffice."""
    done = subprocess.run(
        [sys.executable, "-m", "simulation", "--replay", str(seed), *([rule] if rule else [])],
        cwd=_TESTS,
        env=_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": str(_TESTS)}
