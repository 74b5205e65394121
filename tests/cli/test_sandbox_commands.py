"""The sandbox's commands, as the README's walk-through uses them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.cli_runs import Run, complains, runner


def start(home: Path, *flags: str) -> subprocess.Popen[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("AFX_")}
    return subprocess.Popen(
        [sys.executable, "-m", "cli.main", "sandbox", "start", *flags],
        stdout=subprocess.PIPE,
        text=True,
        env={
            **environment,
            "AFX_HOME": str(home),
            "PYTHONPATH": str(Path(__file__).parents[2]),
        },
    )


@pytest.fixture
def afx(home: Path) -> Run:
    return runner(home)


@pytest.fixture
def sandbox(home: Path) -> Iterator[dict[str, object]]:
    """A running sandbox; its address."""
    process = start(home, "--json")
    assert process.stdout is not None
    yield json.loads(process.stdout.readline())
    process.terminate()
    process.communicate(timeout=30)


@pytest.mark.usefixtures("sandbox")
def test_an_account_is_added_as_a_session_without_its_login_touching_a_file(
    afx: Run, home: Path
) -> None:
    afx("user", "add", "alice")
    done = afx("sandbox", "account", "--session", "main", "--user", "alice")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "session main added (id 1): account 1000001\n"
    [session] = json.loads(afx("session", "list", "--json").stdout)
    assert (session["name"], session["user"]) == ("main", "alice")


@pytest.mark.usefixtures("sandbox")
def test_many_accounts_are_added_as_sessions_of_a_prefix(afx: Run) -> None:
    afx("user", "add", "alice")
    flags = ("--count", "3", "--session-prefix", "s", "--user", "alice", "--json")
    done = afx("sandbox", "account", *flags)
    added = json.loads(done.stdout)
    assert [it["session"] for it in added] == ["s1", "s2", "s3"]
    assert len({it["account"] for it in added}) == 3
    assert "login" not in done.stdout


@pytest.mark.usefixtures("sandbox")
def test_a_mistake_is_found_before_an_account_is_made(afx: Run) -> None:
    afx("user", "add", "alice")
    account = ("sandbox", "account")
    complains(afx(*account, "--session", "main", "--user", "bob"), 2, "bob")
    complains(afx(*account, "--session", "-x", "--user", "alice"), 2, "dash")
    complains(afx(*account, "--session", "main"), 2, "--user")
    complains(afx(*account, "--user", "alice"), 2, "--session")
    complains(
        afx(*account, "--session", "main", "--count", "2", "--user", "alice"), 2, "--session-prefix"
    )
    assert afx(*account, "--session", "main", "--user", "alice").returncode == 0
    complains(afx(*account, "--session", "main", "--user", "alice"), 2, "already")
    assert json.loads(afx("sandbox", "info", "--json").stdout)["accounts"] == 1


@pytest.mark.usefixtures("sandbox")
def test_an_account_without_a_session_is_printed_with_its_login(afx: Run) -> None:
    assert json.loads(afx("sandbox", "account").stdout)["login"]
    assert len(json.loads(afx("sandbox", "account", "--count", "2").stdout)) == 2


@pytest.mark.usefixtures("sandbox")
def test_the_ledger_is_printed_as_fields(afx: Run) -> None:
    done = afx("sandbox", "ledger")
    assert done.returncode == 0
    assert "{" not in done.stdout
    fields = {it.rpartition("  ")[0].strip(): it.split()[-1] for it in done.stdout.splitlines()}
    assert fields["latency ms p50"] == "-"
    assert fields["lost"] == "0"
    assert "latency_ms" in json.loads(afx("sandbox", "ledger", "--json").stdout)


@pytest.mark.usefixtures("sandbox")
def test_a_second_sandbox_in_the_same_home_is_refused(afx: Run) -> None:
    complains(afx("sandbox", "start"), 2, "afx sandbox start", "already running")
    assert afx("sandbox", "info").returncode == 0


def test_the_output_names_the_address_how_to_stop_it_and_the_next_step(
    afx: Run, home: Path
) -> None:
    process = start(home, "--port", "0")
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(3)]
    assert lines[0].startswith("the sandbox listens on 127.0.0.1:")
    assert "afx sandbox stop" in lines[1]
    assert "afx sandbox account" in lines[2]
    assert afx("sandbox", "stop").returncode == 0
    process.communicate(timeout=30)
    assert process.returncode == 0
    complains(afx("sandbox", "info"), 3, "afx sandbox start")


@pytest.mark.usefixtures("sandbox")
@pytest.mark.parametrize("flags", [(), ("--session", "main", "--user", "alice")])
def test_a_dry_run_makes_no_account_in_the_sandbox(afx: Run, flags: tuple[str, ...]) -> None:
    afx("user", "add", "alice")
    done = afx("sandbox", "account", *flags, "--dry-run")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(afx("sandbox", "info", "--json").stdout)["accounts"] == 0


@pytest.mark.usefixtures("sandbox")
def test_a_dry_run_of_a_sign_in_signs_in_nowhere(afx: Run) -> None:
    afx("user", "add", "alice")
    flags = ("--user", "alice", "--sandbox", "--phone", "1", "--dry-run")
    done = afx("session", "login", "main", *flags)
    assert (done.returncode, done.stderr) == (0, "")
    assert "can be added for user alice (dry run" in done.stdout
