"""For tests of the command line: whole processes, in a home of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

COMMAND = (sys.executable, "-m", "cli.main")
Run = Callable[..., subprocess.CompletedProcess[str]]


def runner(home: Path) -> Run:
    """Return what runs ``afx`` with arguments, and nothing of the caller's settings."""

    def run(
        *arguments: str, stdin: str = "", prefix: Sequence[str] = (), **variables: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*prefix, *COMMAND, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            cwd=home,
            check=False,
            env=environment(home, **variables),
        )

    return run


def environment(home: Path, **variables: str) -> dict[str, str]:
    """Return the variables of a process of afx in a home."""
    others = {k: v for k, v in os.environ.items() if not k.startswith("AFX_")}
    return {
        **others,
        "AFX_HOME": str(home),
        "COLUMNS": "200",
        **variables,
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }


def complains(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    """One sentence on standard error, nothing on standard output, no traceback."""
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr
