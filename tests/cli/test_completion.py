"""Completion: the right candidates for any number of names, quoted as each shell needs it."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.cli_runs import Run, runner
from support.databases import open_sqlite

from cli import shells
from models import base, names
from models.storage import sessions, users
from models.storage.sessions import NewSession
from models.tables import User

NAMES = ("my first", "my second", "it's", "eu:west:1", 'say "hi"', "$HOME", "one")


def add_sessions(home: Path, given: tuple[str, ...]) -> None:
    open_sqlite(home)
    with base.transaction():
        owner = users.create("alice", "free")
        for it in given:
            sessions.create(owner, NewSession(it, b"login", it))
    base.close_database()


@pytest.fixture
def afx(home: Path) -> Run:
    return runner(home)


def candidates(afx: Run, shell: str, line: str) -> list[str]:
    done = afx(_AFX_COMPLETE=f"complete_{shell}", _AFX_LINE=line, _AFX_BREAKS=" \t\n\"'@><=;|&(:")
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_three_hundred_names_are_all_offered(afx: Run, home: Path) -> None:
    given = tuple(f"s{number:03}" for number in range(300))
    add_sessions(home, given)
    for shell in shells.SCRIPTS:
        assert candidates(afx, shell, "afx session show s") == list(given)
    assert candidates(afx, "bash", "afx session list --user=al") == ["alice"]
    assert candidates(afx, "bash", "afx us") == ["user"]


@pytest.mark.parametrize("prefix", ["", "s", "s0", "s00", "u"])
def test_an_incomplete_list_of_candidates_inserts_no_longer_prefix(
    database: Any, prefix: str
) -> None:
    given = [f"s{number:03}" for number in range(120)] + ["t", "ua", "ub"]
    with base.transaction():
        for it in given:
            users.create(it, "free")
    found = names.completions(User.select(User.name), User.name, prefix, most=10)
    fitting = [it for it in given if it.startswith(prefix)]
    assert len(found) <= 15 and set(found) <= set(fitting)
    assert os.path.commonprefix(found) == os.path.commonprefix(fitting)  # noqa: RUF071


@pytest.mark.parametrize(
    ("text", "words", "word", "quote"),
    [
        ("afx user show ", ("afx", "user", "show"), "", ""),
        ("afx user show my\\ fi", ("afx", "user", "show"), "my fi", ""),
        ("afx user show 'my fi", ("afx", "user", "show"), "my fi", "'"),
        ('afx user show "a\\"b\\c', ("afx", "user", "show"), 'a"b\\c', '"'),
        ("afx 'a b' \"\" c", ("afx", "a b", ""), "c", ""),
        ("afx user show my\\", ("afx", "user", "show"), "my", ""),
    ],
)
def test_a_line_is_split_as_a_shell_does(
    text: str, words: tuple[str, ...], word: str, quote: str
) -> None:
    line = shells.parse(text)
    assert (line.words, line.word, line.quote) == (words, word, quote)


def test_each_shell_gets_names_in_its_own_quoting(afx: Run, home: Path) -> None:
    add_sessions(home, NAMES)
    ask = "afx session show "
    assert candidates(afx, "bash", ask + "my") == ["my\\ first", "my\\ second"]
    assert candidates(afx, "bash", ask + "'my f") == ["my first"]
    assert candidates(afx, "bash", ask + "eu:w") == ["west:1"]
    assert candidates(afx, "fish", ask + "my\\ s") == ["my second"]
    assert candidates(afx, "zsh", ask + "eu") == ["eu\\:west\\:1"]


STARTS = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], "source <(afx completion bash)"),
    "zsh": (
        ["zsh", "-f", "-i"],
        "autoload -Uz compinit && compinit -D && source <(afx completion zsh)",
    ),
}
"""Shell → how it is started without the files of its user, and what loads the completion."""


@pytest.fixture
def typed_in(home: Path) -> Callable[[str, str], list[str]]:
    """Return what types a line into an interactive shell and tells afx's arguments."""
    place = home / "bin"
    place.mkdir()
    script = place / "afx"
    # Completion asks the real command; a whole line shows the arguments that arrive.
    script.write_text(
        "#!/bin/bash\n"
        f'[[ -n $_AFX_COMPLETE || $1 == completion ]] && exec {sys.executable} -m cli.main "$@"\n'
        "printf '<%s>\\n' \"$@\" > args.new; mv args.new args; echo DO''NE\n"
    )
    script.chmod(0o755)

    def type_in(name: str, line: str) -> list[str]:
        command, load = STARTS[name]
        controller, terminal = pty.openpty()
        environment = {k: v for k, v in os.environ.items() if not k.startswith("AFX_")}
        shell = subprocess.Popen(
            command,
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            cwd=home,
            start_new_session=True,
            env={
                **environment,
                "AFX_HOME": str(home),
                "INPUTRC": "/dev/null",
                "TERM": "dumb",
                "PATH": f"{place}:{environment['PATH']}",
                "PYTHONPATH": str(Path(__file__).parents[2]),
            },
        )
        os.close(terminal)

        def read_until(mark: bytes) -> None:
            seen, until = b"", time.monotonic() + 60
            while mark not in seen:
                assert time.monotonic() < until, seen
                if select.select([controller], [], [], 1.0)[0]:
                    seen += os.read(controller, 4096)

        try:
            os.write(controller, f"{load}; echo LOA''DED\n".encode())
            read_until(b"LOADED")
            os.write(controller, line.encode() + b"\n")
            read_until(b"DONE")
        finally:
            shell.kill()
            shell.wait()
            os.close(controller)
        return [it[1:-1] for it in (home / "args").read_text().splitlines()]

    return type_in


@pytest.mark.parametrize(
    "shell",
    [
        pytest.param(
            it,
            marks=pytest.mark.skipif(shutil.which(it) is None, reason=f"{it} is not installed"),
        )
        for it in STARTS
    ],
)
@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("on\t", "one"),
        ("my\\ f\t", "my first"),
        ("'my s\t", "my second"),
        ('"my s\t', "my second"),
        ("it\t", "it's"),
        ("eu:w\t", "eu:west:1"),
        ("say\t", 'say "hi"'),
        ("'$H\t", "$HOME"),
    ],
)
def test_a_shell_completes_a_name_into_one_argument(
    typed_in: Callable[[str, str], list[str]], home: Path, shell: str, typed: str, name: str
) -> None:
    add_sessions(home, NAMES)
    assert typed_in(shell, f"afx session show {typed}") == ["session", "show", name]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_installed_once(afx: Run, home: Path, shell: str) -> None:
    for _ in range(2):
        done = afx("completion", shell, "--install", HOME=str(home))
        assert done.returncode == 0, done.stderr
    path = Path(done.stdout.split(" is in ")[1].partition(";")[0])
    assert path.read_text() == shells.SCRIPTS[shell]
    for startup in home.glob(".*rc"):
        assert len(startup.read_text().splitlines()) == 1
