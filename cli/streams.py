"""The standard streams of a command: closed, full and broken ones are no surprise.

Standard output carries the data, so a command must not go on when it is lost:
one that is closed or full raises OutputError, one whose reader has gone (``| head``)
raises ReaderGoneError. Standard error carries messages for people: what it does not
take is dropped.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from pathlib import Path
from typing import Any, TextIO

from afx.errors import OutputError

_STDOUT = 1
_STDERR = 2


class ReaderGoneError(OutputError):
    """The program that read standard output has ended; exit as SIGPIPE would."""

    exit_code = 141


class _Output(io.FileIO):
    """Standard output; each error of writing is an OutputError."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except BrokenPipeError as error:
            raise ReaderGoneError from error
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
            raise OutputError(
                "Standard output is full; make room where it goes to, or send it elsewhere."
                if full
                else f"Standard output cannot be written ({error.strerror}); send it elsewhere."
            ) from error


class _Messages(io.FileIO):
    """Standard error; what it does not take is dropped."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError:
            return len(data)


def guard() -> None:
    """Make the standard streams fit for a command.

    Raises OutputError when standard output is closed: then the next file that is
    opened would take its place, so nothing may be done.
    """
    if sys.stdin is None:
        sys.stdin = Path(os.devnull).open()  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115
    else:
        sys.stderr = _text(_Messages(_STDERR, "w", closefd=False), sys.stderr, line_buffering=True)
    if sys.stdout is None:
        raise OutputError(
            "Standard output is closed; nothing was done. Send it to /dev/null to discard it."
        )
    sys.stdout = _text(
        _Output(_STDOUT, "w", closefd=False), sys.stdout, line_buffering=sys.stdout.isatty()
    )


def abandon() -> None:
    """Throw away what standard output could not take, so that the exit is silent."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, _STDOUT)
    os.close(nowhere)


def _text(raw: io.FileIO, like: TextIO, *, line_buffering: bool) -> io.TextIOWrapper:
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=like.encoding,
        # A character that the terminal lacks, or a file name that is not UTF-8, must
        # not end a command that has made its change.
        errors="backslashreplace",
        line_buffering=line_buffering,
    )
