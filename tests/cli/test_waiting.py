"""Ctrl-C on a command that waits for a control, in a real terminal."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from support.cli_runs import COMMAND, Run, environment, runner
from telethon.crypto import AuthKey
from telethon.sessions import StringSession

from afx.operations import tasks
from cli import task


@pytest.fixture
def afx(home: Path) -> Run:
    """A home with one session, without a coordinator: controls wait."""
    login = StringSession()
    login.set_dc(2, "149.154.167.51", 443)
    login.auth_key = AuthKey(b"\3" * 256)
    run = runner(home)
    for arguments in (("user", "add", "alice"), ("session", "import", "main", "--user", "alice")):
        done = run(*arguments, stdin=login.save())
        assert done.returncode == 0, done.stderr
    return run


@contextmanager
def on_a_terminal(home: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run a command whose standard error is a terminal; yields it and the other end."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        text=True,
        cwd=home,
        env=environment(home),
        # What a shell has started in the background ignores it, and so would the command.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    os.close(theirs)
    try:
        yield process, ours
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def read_until(terminal: int, text: str) -> str:
    """Return what a terminal shows, up to a text or its end."""
    shown = ""
    while text not in shown:
        try:
            shown += os.read(terminal, 4096).decode()
        except OSError:  # Linux: the other end is closed
            break
    return shown


def test_ctrl_c_ends_the_wait_and_names_the_control_that_goes_on(afx: Run, home: Path) -> None:
    with on_a_terminal(home, "session", "move", "main", "--timeout", "600") as (process, terminal):
        assert "requested" in read_until(terminal, "requested")
        process.send_signal(signal.SIGINT)
        shown = read_until(terminal, "cancel with")
        assert process.wait(timeout=60) == 130
    [control] = json.loads(afx("control", "list", "--json", "--open").stdout)
    assert f"'afx control show {control['id']}'" in shown
    assert "Traceback" not in shown


def test_ctrl_c_on_a_task_says_that_it_goes_on_and_how_to_end_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> Iterator[Any]:
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(tasks, "watch", interrupted)
    invocation: Any = SimpleNamespace(context=None, timeout=1.0, json=False)
    for ids, who, how in (([12], "task 12 goes on", "12"), ([12, 13], "2 tasks go on", "ID")):
        with pytest.raises(typer.Exit) as ended:
            task._wait(invocation, ids, follow=False)
        assert ended.value.exit_code == 130
        said = capsys.readouterr()
        assert who in said.err and f"afx task cancel {how}" in said.err and not said.out
