"""afx proxy, and the proxy of a session: from adding to removing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.cli_runs import complains, environment, runner


@pytest.fixture
def sandbox(home: Path) -> Iterator[dict[str, Any]]:
    """A running sandbox; its address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "cli.main", "sandbox", "start", "--json"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment(home)},
    )
    assert process.stdout is not None
    yield json.loads(process.stdout.readline())
    process.terminate()
    process.communicate()


def test_a_proxy_is_added_checked_given_to_a_session_and_removed(
    home: Path, sandbox: dict[str, Any]
) -> None:
    afx = runner(home)
    complains(afx("proxy", "add", "x", stdin="socks5://ann:hunter2@h"), 2, "port")
    done = afx("proxy", "add", "s", "--pool", "p", stdin=sandbox["socks5"])
    assert done.stdout == "proxy s added\n", done.stderr
    assert "dry run" in afx("proxy", "add", "m", "--dry-run", stdin=sandbox["mtproxy"]).stdout
    assert afx("proxy", "add", "m", "--pool", "p", stdin=sandbox["mtproxy"]).returncode == 0
    assert afx("proxy", "add", "away", stdin="http://127.0.0.1:1").returncode == 0
    done = afx("proxy", "check", "s", "m", "--sandbox", "--json")
    assert [it["state"] for it in json.loads(done.stdout)] == ["works", "works"], done.stderr
    done = afx("proxy", "check", "away", "--sandbox")
    assert done.returncode == 1
    assert "cannot be reached" in done.stdout
    rows = {it["name"]: it for it in json.loads(afx("proxy", "list", "--json").stdout)}
    assert {it: row["state"] for it, row in rows.items()} == {
        "away": "fails",
        "m": "works",
        "s": "works",
    }
    afx("user", "add", "alice")
    made = afx("sandbox", "account", "--session", "main", "--user", "alice")
    assert made.returncode == 0, made.stderr
    complains(afx("session", "set", "main"), 2, "Give one of --proxy, --pool and --no-proxy")
    done = afx("session", "set", "main", "--pool", "p")
    assert "session main connects through proxy" in done.stdout, done.stderr
    assert json.loads(afx("session", "show", "main", "--json").stdout)["proxy"] in ("s", "m")
    assert "already" in afx("session", "set", "main", "--pool", "p").stdout
    afx("session", "set", "main", "--proxy", "s")
    complains(afx("proxy", "remove", "s", "--yes"), 2, "is that of main")
    assert afx("session", "set", "main", "--no-proxy").stdout == "session main connects directly\n"
    assert afx("proxy", "remove", "s", "--yes").stdout == "proxy s removed\n"
    for file in home.iterdir():
        if file.suffix == ".db":
            assert b"sandbox:sandbox" not in file.read_bytes()


def test_a_list_of_sessions_names_the_proxy_of_each(home: Path, sandbox: dict[str, Any]) -> None:
    afx = runner(home)
    afx("user", "add", "alice")
    afx("proxy", "add", "s", stdin=sandbox["socks5"])
    logins = [it["login"] for it in json.loads(afx("sandbox", "account", "--count", "3").stdout)]
    lines = [
        {"name": "a", "login": logins[0], "proxy": "s"},
        {"name": "b", "login": logins[1], "device": "b.json"},
        {"name": "c", "login": logins[2], "proxy": "none"},
    ]
    (home / "list.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (home / "b.json").write_text('{"device_model": "Pixel 6"}')
    done = afx("session", "import", "-f", "list.jsonl", "--user", "alice")
    assert "no proxy 'none'" in done.stdout + done.stderr
    rows = json.loads(afx("session", "list", "--json").stdout)
    assert {it["name"]: it["proxy"] for it in rows} == {"a": "s", "b": None}
