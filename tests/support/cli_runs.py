"""For tests of the command line: whole processes, in a home of their own."""

from __future__ import annotations

import atexit
import functools
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from support.command_server import CommandServer

COMMAND = (sys.executable, "-m", "cli.main")
Run = Callable[..., subprocess.CompletedProcess[str]]
_TIMEOUT_SECONDS = 120
_OF_PYTHON = ("PYTHON", "LC_", "LANG")
"""Variables that Python reads when it starts, before it can be forked."""


def runner(home: Path) -> Run:
    """Return what runs ``afx`` with arguments, and nothing of the caller's settings."""

    def run(
        *arguments: str, stdin: str = "", prefix: Sequence[str] = (), **variables: str
    ) -> subprocess.CompletedProcess[str]:
        if not prefix and not any(it.startswith(_OF_PYTHON) for it in variables):
            return _server().run(
                arguments,
                stdin=stdin,
                timeout=_TIMEOUT_SECONDS,
                cwd=home,
                variables=environment(home, **variables),
            )
        return subprocess.run(
            [*prefix, *COMMAND, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_SECONDS,
            cwd=home,
            check=False,
            env=environment(home, **variables),
        )

    return run


@functools.cache
def _server() -> CommandServer:
    server = CommandServer()
    atexit.register(server.close)
    return server


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
