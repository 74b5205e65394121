"""Runs a command of the operator's own, with a deadline and without a shell."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
from collections.abc import Mapping

from afx.errors import AfxError, UsageError, printable
from afx.local.processes import die_with_parent

_END_SECONDS = 5.0


def split(command: str) -> list[str]:
    """Return the words of a command; quotes work as in a shell, and nothing else does.

    Raises UsageError for a command that has none.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise UsageError(f"The command cannot be split into words: {error}; correct it.") from error
    if not words or "\0" in command:
        raise UsageError("The command is empty; give a program and its arguments.")
    return words


def run(words: list[str], variables: Mapping[str, str], *, timeout_seconds: float) -> None:
    """Run a command to its end; its output goes to standard error.

    ``variables`` are added to the environment. What has not ended in time is ended, with
    all processes of its group; and it ends with this process. Raises AfxError when it
    cannot start, fails or takes too long.
    """
    shown = printable(words[0])
    try:
        process = subprocess.Popen(
            words,
            env={**os.environ, **variables},
            stdin=subprocess.DEVNULL,
            stdout=2,
            stderr=2,
            start_new_session=True,
            preexec_fn=die_with_parent,  # noqa: PLW1509
        )
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise AfxError(f"The command {shown} cannot be started ({reason}); correct it.") from error
    try:
        code = process.wait(timeout_seconds)
    except subprocess.TimeoutExpired:
        _end(process)
        raise AfxError(
            f"The command {shown} had not ended after {timeout_seconds:g} s and was ended; "
            "see why it hangs, or give it more time with --timeout."
        ) from None
    except BaseException:
        _end(process)
        raise
    if code:
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        raise AfxError(f"The command {shown} failed with {how}; its own output says why.")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a command and its children: asked first, then killed."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_END_SECONDS)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_END_SECONDS)
