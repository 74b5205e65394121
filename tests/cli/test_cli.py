"""The command line as a person meets it: whole processes, exit codes, sentences."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.cli_runs import Run, complains, runner


@pytest.fixture
def afx(home: Path) -> Run:
    return runner(home)


def login() -> str:
    from telethon.crypto import AuthKey
    from telethon.sessions import StringSession

    login = StringSession()
    login.set_dc(2, "149.154.167.51", 443)
    login.auth_key = AuthKey(b"\7" * 256)
    return str(login.save())


def test_help_names_every_command(afx: Run) -> None:
    done = afx("--help")
    assert done.returncode == 0
    for command in ("up", "demo", "status", "coordinator", "worker", "session", "rule", "sandbox"):
        assert command in done.stdout


def test_users_sessions_and_rules_are_added_and_listed(afx: Run) -> None:
    from telethon.crypto import AuthKey
    from telethon.sessions import StringSession

    login = StringSession()
    login.set_dc(2, "149.154.167.51", 443)
    login.auth_key = AuthKey(b"\1" * 256)
    assert afx("user", "add", "alice", "--tier", "premium").returncode == 0
    added = afx("session", "import", "main", "--user", "alice", stdin=login.save())
    assert added.returncode == 0, added.stderr
    assert afx("rule", "add", "main", "--from", "t.me/news", "--to", "-1001234").returncode == 0
    assert json.loads(afx("user", "list", "--json").stdout)[0]["tier"] == "premium"
    [session] = json.loads(afx("session", "list", "--json").stdout)
    assert (session["name"], session["user"], session["state"]) == ("main", "alice", "unplaced")
    [rule] = json.loads(afx("rule", "list", "--json").stdout)
    assert (rule["sources"], rule["destinations"]) == (["@news"], ["-1001234"])
    assert "alice" in afx("session", "list").stdout


def test_a_login_lies_encrypted_in_the_database(afx: Run, home: Path) -> None:
    from telethon.crypto import AuthKey
    from telethon.sessions import StringSession

    login = StringSession()
    login.set_dc(2, "149.154.167.51", 443)
    login.auth_key = AuthKey(b"\7" * 256)
    afx("user", "add", "alice")
    done = afx(
        "session", "import", "main", "--user", "alice", stdin=login.save(), AFX_LOG_LEVEL="debug"
    )
    assert done.returncode == 0
    secret = login.save()[10:60]
    assert secret not in done.stdout + done.stderr
    for path in home.glob("afx.db*"):
        assert secret.encode() not in path.read_bytes()


@pytest.mark.parametrize("chat", ["", "@", "no chat", "@ab", "'; DROP TABLE rules; --", "-0"])
def test_what_names_no_chat_is_refused(afx: Run, chat: str) -> None:
    complains(afx("rule", "add", "main", "--from", chat, "--to", "@copies"), 2, "names no chat")


def test_bad_logins_names_tiers_and_modes_change_nothing(afx: Run) -> None:
    complains(
        afx("session", "import", "s", "--user", "a", stdin="nonsense"), 2, "nothing was added"
    )
    complains(afx("session", "import", "s", "--user", "a", stdin=""), 2, "nothing was added")
    complains(afx("user", "add", "a", "--tier", "gold"), 2, "premium or free")
    complains(afx("session", "pause", "nobody"), 2, "afx session list")
    assert json.loads(afx("user", "list", "--json").stdout) == []
    afx("user", "add", "a")
    afx("session", "import", "x", "--user", "a", stdin=login())
    complains(afx("rule", "add", "x", "--from", "@aaaa", "--to", "@bbbb", "--mode", "?"), 2, "copy")
    assert json.loads(afx("rule", "list", "--json").stdout) == []


def test_without_a_cluster_reads_say_how_to_start_one(afx: Run) -> None:
    complains(afx("status"), 3, "afx up")
    complains(afx("worker", "list"), 3, "afx up")
    complains(afx("sandbox", "info"), 3, "afx sandbox start")


def test_a_server_that_does_not_answer_gives_one_sentence(afx: Run) -> None:
    key = "A" * 43 + "="
    start = afx("worker", "start", "--redis-url", "redis://127.0.0.1:1", AFX_SECRET_KEY=key)
    complains(start, 3, "AFX_REDIS_URL")
    complains(afx("status", AFX_REDIS_URL="nonsense://x"), 3, "Redis URL")
    complains(afx("user", "list", "--database-url", "mysql://x/y"), 2, "postgresql")
    url = "postgresql://127.0.0.1:1/x"
    complains(afx("user", "list", "--database-url", url), 3, "AFX_DATABASE_URL")


def test_wrong_settings_are_named(afx: Run, home: Path) -> None:
    complains(afx("user", "list", AFX_LEASE_PROFILE="slow"), 2, "lease_profile")
    complains(afx("user", "list", AFX_HEARTBEAT_SECONDS="9"), 2, "heartbeats")
    (home / "afx.toml").write_text("redis_ulr = 'x'\n")
    complains(afx("user", "list"), 2, "redis_ulr")
    (home / "afx.toml").write_text("redis_url = \n")
    complains(afx("user", "list"), 2, "settings file")
    complains(afx("user", "list", AFX_CONFIG="/nowhere.toml"), 2, "AFX_CONFIG")


def test_a_variable_overrides_a_file_and_a_flag_overrides_both(afx: Run, home: Path) -> None:
    (home / "afx.toml").write_text(f"database_url = 'sqlite:///{home}/file.db'\n")
    for flags, variables, name in (
        ((), {}, "file.db"),
        ((), {"AFX_DATABASE_URL": f"sqlite:///{home}/variable.db"}, "variable.db"),
        (
            ("--database-url", f"sqlite:///{home}/flag.db"),
            {"AFX_DATABASE_URL": f"sqlite:///{home}/variable.db"},
            "flag.db",
        ),
    ):
        assert afx("db", "upgrade", *flags, **variables).returncode == 0
        assert (home / name).exists()


def test_an_older_schema_is_refused_with_the_command_to_run(afx: Run, home: Path) -> None:
    url = f"sqlite:///{home}/given.db"
    complains(afx("user", "list", "--database-url", url), 1, "afx db upgrade")
    assert afx("db", "upgrade", "--database-url", url).returncode == 0
    assert afx("user", "list", "--database-url", url).returncode == 0


def test_a_demo_that_could_not_survive_a_kill_is_refused(afx: Run) -> None:
    complains(afx("demo", "--workers", "1"), 2, "--no-kill")


def test_a_demo_prints_one_object_and_leaves_nothing_behind(afx: Run) -> None:
    done = afx("demo", "--json", "--workers", "2", "--sessions", "6", "--messages", "120")
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert list(figures) == [
        "workers",
        "sessions",
        "published",
        "expected",
        "delivered",
        "lost",
        "duplicated",
        "out_of_order",
        "altered",
        "wrong_replies",
        "revoked",
        "latency_ms",
        "failover",
        "seconds",
    ]
    assert figures["delivered"] == figures["published"] >= 120
    assert set(figures["latency_ms"]) == {"p50", "p99"}
    assert set(figures["failover"]) == {"node", "sessions", "detected_s", "recovered_s"}
