"""Standard streams that are closed, full or broken, in real processes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.cli_runs import Run, runner


@pytest.fixture
def afx(home: Path) -> Run:
    return runner(home)


def shell(redirection: str) -> tuple[str, ...]:
    """Return a prefix that runs a command in a shell, with its streams redirected."""
    return ("bash", "-c", f'"$@" {redirection}', "bash")


PIPE = '| head -c 1 >/dev/null; exit "${PIPESTATUS[0]}"'
"""What a reader that ends early does to a command; the exit code is the command's."""


@pytest.mark.parametrize("command", [("--help",), ("user", "list"), ("user", "add", "alice")])
def test_a_closed_standard_output_gives_one_sentence_and_changes_nothing(
    afx: Run, command: tuple[str, ...]
) -> None:
    done = afx(*command, prefix=shell(">&-"))
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "afx: Standard output is closed; nothing was done. Send it to /dev/null to discard it."
    ]
    assert json.loads(afx("user", "list", "--json").stdout) == []


@pytest.mark.parametrize(
    "command", [("--help",), ("--version",), ("user", "list", "--json"), ("config", "show")]
)
def test_a_full_standard_output_is_one_sentence(afx: Run, command: tuple[str, ...]) -> None:
    done = afx(*command, prefix=shell(">/dev/full"))
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith("afx: Standard output is full")


def test_a_closed_pipe_ends_the_command_without_a_message(afx: Run) -> None:
    # More than a pipe holds, so that the command still writes when its reader ends.
    afx("user", "add", "alice")
    done = afx("config", "show", "--json", prefix=shell(f"<&- 2>&1 {PIPE}"), AFX_LABELS=LABELS)
    assert (done.returncode, done.stdout, done.stderr) == (141, "", "")


LABELS = json.dumps({f"label-{number}": "x" * 40 for number in range(2000)})


@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full"])
def test_a_lost_standard_error_changes_neither_output_nor_exit_code(
    afx: Run, redirection: str
) -> None:
    done = afx("user", "list", "--json", prefix=shell(redirection))
    assert (done.returncode, json.loads(done.stdout)) == (0, [])
    done = afx("user", "show", "nobody", prefix=shell(redirection))
    assert (done.returncode, done.stdout) == (2, "")


def test_a_closed_standard_input_counts_as_an_empty_one(afx: Run) -> None:
    afx("user", "add", "alice")
    done = afx("session", "import", "main", "--user", "alice", prefix=shell("<&-"))
    assert done.returncode == 2
    assert "nothing was added" in done.stderr
