"""A provider's command that hangs, fails, or is none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from afx.errors import AfxError, UsageError
from afx.lab.waiting import wait_until
from afx.local import hook_command


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_a_command_gets_the_figures_in_its_environment(home: Path) -> None:
    code = f"import os; open({str(home / 'out')!r}, 'w').write(os.environ['SCALE_DESIRED'])"
    hook_command.run(python(code), {"SCALE_DESIRED": "7"}, timeout_seconds=60)
    assert (home / "out").read_text() == "7"


def test_what_a_shell_would_do_is_not_done(home: Path) -> None:
    words = hook_command.split("touch 'a b' $(touch x) ; touch y | z `touch w` > v")
    assert words[:3] == ["touch", "a b", "$(touch"]
    hook_command.run(
        python("import sys; sys.exit(0)"),
        {"SCALE_TEXT": "$(touch x); touch y"},
        timeout_seconds=60,
    )
    assert list(home.iterdir()) == []


@pytest.mark.parametrize("command", ["", "   ", "'unclosed", "a\0b"])
def test_a_command_without_words_is_refused(command: str) -> None:
    with pytest.raises(UsageError, match="command"):
        hook_command.split(command)


def test_a_command_that_does_not_exist_is_one_sentence() -> None:
    with pytest.raises(AfxError, match="cannot be started"):
        hook_command.run(["/nonexistent/afx-hook"], {}, timeout_seconds=5)


@pytest.mark.parametrize(
    ("code", "how"),
    [("import sys; sys.exit(3)", "exit code 3"), ("import os; os.kill(os.getpid(), 9)", "signal")],
)
def test_a_command_that_fails_is_an_error(code: str, how: str) -> None:
    with pytest.raises(AfxError, match=how):
        hook_command.run(python(code), {}, timeout_seconds=60)


def test_a_command_that_hangs_is_ended_with_its_children(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hook_command, "_END_SECONDS", 0.5)
    script = f"trap '' TERM; sleep 600 & echo $! > {home}/pid; wait"
    with pytest.raises(AfxError, match="had not ended after 3 s"):
        hook_command.run(["sh", "-c", script], {}, timeout_seconds=3)
    child = int((home / "pid").read_text())
    wait_until(lambda: _is_gone(child), what="the child is gone", seconds=30)


def _is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_the_output_of_a_command_does_not_mix_with_ours() -> None:
    code = (
        "from afx.local import hook_command; import sys;"
        "hook_command.run([sys.executable, '-c', 'print(1)'], {}, timeout_seconds=60)"
    )
    done = subprocess.run(python(code), capture_output=True, text=True, timeout=60, check=True)
    assert (done.stdout, done.stderr.strip()) == ("", "1")
