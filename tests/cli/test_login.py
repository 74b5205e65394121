"""``afx session login`` as a person meets it, at a sandbox."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.cli_runs import complains, runner

from afx.errors import SandboxError
from afx.sandbox.client import SandboxClient


@pytest.fixture
def sandbox(home: Path) -> Iterator[SandboxClient]:
    process = subprocess.Popen(
        [sys.executable, "-m", "afx.sandbox.process", str(home)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    address = json.loads(process.stdout.readline())
    client = SandboxClient(address["host"], address["control_port"])
    yield client
    client.close()
    process.terminate()
    process.wait()
    process.stdout.close()


def talk(home: Path, *flags: str, answer: Callable[[str], str]) -> tuple[int, str]:
    """Run a login; ``answer`` gives a line for each line or question that it prints."""
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "cli.main",
            "session",
            "login",
            "main",
            "--user",
            "alice",
            "--sandbox",
            *flags,
        ],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=home,
        env={**os.environ, "AFX_HOME": str(home), "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert process.stdin and process.stderr and process.stdout
    said = ""
    with process:
        while letter := process.stderr.read(1):
            said += letter
            if said.endswith((": ", "\n")) and (reply := answer(said)):
                process.stdin.write(reply + "\n")
                process.stdin.flush()
        out = process.stdout.read()
    return process.returncode, said + out


def code_of(sandbox: SandboxClient, phone: str) -> str:
    try:
        return str(sandbox.call("code", phone=phone))
    except SandboxError:
        return ""


def test_a_phone_a_code_and_a_password_add_a_session(home: Path, sandbox: SandboxClient) -> None:
    afx = runner(home)
    afx("user", "add", "alice")
    code_of(sandbox, "1")

    def answer(said: str) -> str:
        if said.endswith("country code: "):
            return "+99966123"
        if said.endswith("has sent: "):
            return code_of(sandbox, "99966123")
        return ""

    status, said = talk(home, answer=answer)
    assert status == 0, said
    assert "session main added" in said
    listed: list[Any] = json.loads(afx("session", "list", "--json").stdout)
    assert [it["name"] for it in listed] == ["main"]
    complains(afx("session", "login", "main", "--user", "alice", "--sandbox"), 2, "already")


def test_a_scanned_code_adds_a_session(home: Path, sandbox: SandboxClient) -> None:
    runner(home)("user", "add", "alice")
    account = sandbox.call("provision", count=1)[0]["account"]
    sandbox.call("password", account=account, password="secret")

    def answer(said: str) -> str:
        last = said.rstrip("\n").rpartition("\n")[2]
        if last.startswith("tg://login") and said.endswith("\n"):
            assert sandbox.call("scan", url=last, account=account)
        return "secret" if said.endswith("verification: ") else ""

    status, said = talk(home, "--qr", answer=answer)
    assert status == 0, said
    assert str(account) in said


def test_a_login_without_an_answer_adds_nothing(home: Path, sandbox: SandboxClient) -> None:
    afx = runner(home)
    afx("user", "add", "alice")
    done = afx("session", "login", "main", "--user", "alice", "--sandbox", "--phone", "+99966123")
    assert done.returncode == 2
    assert "nobody to ask" in done.stderr and "Traceback" not in done.stderr
    complains(afx("session", "login", "main", "--user", "alice"), 2, "my.telegram.org")
    complains(afx("session", "login", "main", "--user", "nobody", "--sandbox"), 2, "no user")
    assert afx("session", "list", "--json").stdout == "[]\n"


def test_a_bots_token_is_read_from_standard_input(home: Path, sandbox: SandboxClient) -> None:
    afx = runner(home)
    afx("user", "add", "alice")
    bot = sandbox.call("bot", name="poster")
    wanted = ("session", "login", "poster", "--user", "alice", "--sandbox", "--bot-token")
    done = afx(*wanted, stdin="no token\n")
    assert done.returncode == 2 and "no token" not in done.stderr
    done = afx(*wanted, stdin=f"{bot['token']}\n")
    assert done.returncode == 0, done.stderr
    assert bot["token"] not in done.stdout + done.stderr
    done = afx("rule", "add", "poster", "--from", "@aaaa", "--to", "@bbbb")
    assert "session 'poster' is a bot" in done.stderr
