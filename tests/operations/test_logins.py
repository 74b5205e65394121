"""Logins from outside: session strings, session files, whole lists."""

from __future__ import annotations

import base64
import csv
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from telethon.crypto import AuthKey
from telethon.sessions import SQLiteSession, StringSession

from afx.app import ProcessServers
from afx.config import load
from afx.errors import ConfigError, UsageError
from afx.operations import imports, logins
from afx.operations import sessions as session_operations
from afx.operations.context import Actor, Context
from afx.security.login_servers import LoginServers
from afx.security.vault import Vault
from models.storage import audit, sessions, users

KEY = base64.urlsafe_b64encode(b"k" * 32).decode()


def context(*, dry_run: bool = False) -> Context:
    return ProcessServers(load(secret_key=KEY)).context(Actor("me"), dry_run=dry_run)


def login(seed: int, host: str = "149.154.167.51", port: int = 443) -> str:
    login = StringSession()
    login.set_dc(2, host, port)
    login.auth_key = AuthKey(seed.to_bytes(4, "big") * 64)
    return str(login.save())


@pytest.mark.parametrize("host", ["149.154.167.51", "2001:67c:4e8:f002::a"])
def test_a_string_of_telethon_is_taken(host: str) -> None:
    text = login(7, host)
    assert logins.check(f" {text}\n") == text
    assert logins.fingerprint(text) != logins.fingerprint(login(8, host))


def test_the_same_key_at_another_server_is_the_same_login() -> None:
    assert logins.fingerprint(login(7)) == logins.fingerprint(login(7, "2001:67c:4e8:f002::a"))


@given(
    st.text(max_size=400)
    | st.binary(max_size=300).map(lambda it: "1" + base64.urlsafe_b64encode(it).decode())
)
def test_what_is_no_string_is_refused_and_never_shown(text: str) -> None:
    try:
        logins.check(text)
    except UsageError as error:
        assert str(error) == "That is no Telethon session string; nothing was added."
    else:
        assert StringSession(text.strip()).auth_key is not None


@given(
    st.binary(min_size=256, max_size=256).filter(any), st.integers(1, 255), st.integers(1, 65535)
)
def test_what_telethon_writes_is_read(key: bytes, dc: int, port: int) -> None:
    login = StringSession()
    login.set_dc(dc, "1.2.3.4", port)
    login.auth_key = AuthKey(key)
    assert logins.check(login.save())


def session_file(path: Path, seed: int = 7) -> Path:
    file = SQLiteSession(str(path))
    file.set_dc(2, "149.154.167.51", 443)
    file.auth_key = AuthKey(seed.to_bytes(4, "big") * 64)
    file.save()
    file.close()
    return path


def test_a_session_file_of_telethon_is_read_and_left_as_it_was(home: Path) -> None:
    path = session_file(home / "a #1?.session")
    before = path.read_bytes()
    assert logins.from_file(path) == login(7)
    assert path.read_bytes() == before


def test_what_is_no_session_file_is_refused(home: Path) -> None:
    (home / "text").write_text("hello" * 1000)
    (home / "empty").write_bytes(b"")
    sqlite3.connect(home / "other").execute("CREATE TABLE sessions (dc_id)").connection.close()
    SQLiteSession(str(home / "fresh.session")).close()
    bad = session_file(home / "bad.session")
    with sqlite3.connect(bad) as database:
        database.execute("UPDATE sessions SET server_address = 'nowhere'")
    database.close()
    names = ("text", "empty", "other", "fresh.session", "bad.session", "missing", ".")
    for name in names:
        with pytest.raises(UsageError):
            logins.from_file(home / name)


# --- lists ------------------------------------------------------------------------------


def outcomes(path: Path, *, user: str = "", dry_run: bool = False) -> dict[int, tuple[str, str]]:
    found: dict[int, tuple[str, str]] = {}
    imports.run(
        context(dry_run=dry_run),
        path,
        user=user,
        on_batch=lambda them: found.update({it.line: (it.status, it.reason) for it in them}),
    )
    return found


def jsonl(path: Path, *lines: Any) -> Path:
    path.write_text("".join(f"{it if isinstance(it, str) else json.dumps(it)}\n" for it in lines))
    return path


@pytest.fixture
def alice(database: Any) -> Any:
    return users.create("alice")


def test_a_list_is_imported_and_a_second_time_passed_over(alice: Any, home: Path) -> None:
    session_file(home / "b.session", 2)
    path = home / "list.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows(
            [
                ("name", "user", "login", "file"),
                ("a", "alice", login(1), ""),
                ("b", "", "", "b.session"),
            ]
        )
    assert outcomes(path, user="alice") == {2: ("added", ""), 3: ("added", "")}
    assert outcomes(path, user="alice") == {2: ("present", ""), 3: ("present", "")}
    added = sessions.find("b")
    assert Vault([KEY]).open(added.login, session_id=added.id) == login(2)
    assert audit.listing(action="session.import").rows[0]["details"] == {"names": ["a", "b"]}


def test_a_bad_line_is_reported_and_affects_no_other(alice: Any, home: Path) -> None:
    users.create("bob")
    [session_id] = sessions.reserve_ids(1)
    sealed = Vault([KEY]).seal("x", session_id=session_id)
    sessions.create(users.find("bob"), sessions.NewSession("taken", sealed, "f", session_id))
    path = jsonl(
        home / "list.jsonl",
        {"name": "a", "user": "alice", "login": login(1)},
        "no json",
        "[1]",
        {"name": "b", "user": "nobody", "login": login(2)},
        {"name": "c", "user": "alice", "login": "1AAAA"},
        {"name": "d", "user": "alice"},
        {"name": "taken", "user": "alice", "login": login(3)},
        {"name": "e", "user": "alice", "login": login(1)},
        {"name": "a", "user": "alice", "login": login(4)},
        {"name": "\x1b[2J", "user": "alice", "login": login(5)},
        {"name": "f", "user": "alice", "login": login(6), "extra": "x"},
        {"name": 7, "user": "alice", "login": login(6)},
        '{"name": "' + "x" * 70_000 + '"}',
        "",
        {"name": "g", "user": "alice", "login": login(7)},
    )
    found = outcomes(path)
    assert [line for line, (status, _) in found.items() if status == "added"] == [1, 15]
    assert sorted(found) == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 15]
    reasons = [reason for status, reason in found.values() if status == "bad"]
    assert all(it and it.isprintable() for it in reasons)
    assert "very login before" in found[8][1]
    assert sessions.count() == 3


def test_a_dry_run_reports_the_same_and_adds_nothing(alice: Any, home: Path) -> None:
    path = jsonl(
        home / "list.jsonl", {"name": "a", "login": login(1)}, {"name": "b", "login": login(1)}
    )
    planned = outcomes(path, user="alice", dry_run=True)
    assert [status for status, _ in planned.values()] == ["added", "bad"]
    assert sessions.count() == 0
    assert audit.head()[0] == 0
    assert outcomes(path, user="alice") == planned


def test_an_interrupted_import_continues(alice: Any, home: Path) -> None:
    path = jsonl(home / "l.jsonl", *({"name": f"s{n}", "login": login(n + 1)} for n in range(1200)))

    class BreakOffError(Exception):
        pass

    def stop(_: object) -> None:
        raise BreakOffError

    with pytest.raises(BreakOffError):
        imports.run(context(), path, user="alice", on_batch=stop)
    assert sessions.count() == 500
    counts = imports.run(context(), path, user="alice", on_batch=lambda _: None)
    assert counts == {"present": 500, "added": 700}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nme,login\n", "needs 'name'"),
        ("name,login,odd\n", "'odd' is not known"),
        ("name,login,login\n", "there twice"),
        ("", "needs 'name'"),
        ('name,"login\n', "no CSV|needs 'name'"),
    ],
)
def test_a_list_with_a_wrong_header_is_refused(
    alice: Any, home: Path, text: str, words: str
) -> None:
    (home / "l.csv").write_text(text)
    with pytest.raises(UsageError, match=words):
        outcomes(home / "l.csv")
    with pytest.raises(UsageError, match="cannot be read"):
        outcomes(home / "missing.csv")


@pytest.mark.parametrize(
    "statements",
    [
        # A view that never ends.
        "DROP TABLE sessions; CREATE VIEW sessions AS WITH RECURSIVE n(i) AS"
        " (SELECT 1 UNION ALL SELECT i + 1 FROM n)"
        " SELECT sum(i) AS dc_id, '' AS server_address, 0 AS port, '' AS auth_key FROM n",
        # A column that is computed, and takes a gigabyte.
        "DROP TABLE sessions; CREATE TABLE sessions (dc_id, server_address, port,"
        " auth_key AS (zeroblob(900000000))); INSERT INTO sessions VALUES (2, '1.2.3.4', 443)",
        "UPDATE sessions SET auth_key = zeroblob(5000000)",
        "UPDATE sessions SET dc_id = 300, port = -1",
    ],
)
def test_a_hostile_session_file_is_refused_at_once(home: Path, statements: str) -> None:
    path = session_file(home / "hostile.session")
    with closing(sqlite3.connect(path)) as file:
        file.executescript(statements)
    with pytest.raises(UsageError):
        logins.from_file(path)


@pytest.mark.parametrize("port", [443, 80, 5222])
@pytest.mark.parametrize("host", ["149.154.167.51", "91.108.56.130", "2001:67c:4e8:f002::a"])
def test_a_login_may_lead_to_telegram(home: Path, host: str, port: int) -> None:
    logins.check_server(login(1, host, port), LoginServers(home))


@pytest.mark.parametrize(
    ("host", "port"),
    [
        ("127.0.0.1", 443),
        ("10.0.0.1", 443),
        ("149.154.167.51", 22),
        ("149.154.176.1", 443),
        ("::1", 443),
        ("::ffff:127.0.0.1", 443),
    ],
)
def test_a_login_may_lead_to_no_other_server(home: Path, host: str, port: int) -> None:
    with pytest.raises(UsageError, match="not a server of Telegram"):
        logins.check_server(login(1, host, port), LoginServers(home))


def test_a_login_may_lead_to_a_test_server_that_the_settings_name(home: Path) -> None:
    servers = load(home=home, test_networks="10.1.0.0/16, ::1/128").login_servers
    logins.check_server(login(1, "10.1.2.3", 4430), servers)
    logins.check_server(login(1, "::1", 4430), servers)
    with pytest.raises(UsageError):
        logins.check_server(login(1, "10.2.0.1", 4430), servers)
    with pytest.raises(ConfigError, match="test_networks"):
        load(home=home, test_networks="localhost")


def test_a_login_may_lead_to_the_sandbox_of_this_home(home: Path) -> None:
    (home / "sandbox.json").write_text(json.dumps({"host": "127.0.0.1", "port": 4430}))
    logins.check_server(login(1, "127.0.0.1", 4430), LoginServers(home))
    with pytest.raises(UsageError):
        logins.check_server(login(1, "127.0.0.1", 4431), LoginServers(home))


def test_a_session_at_a_server_of_others_is_not_added(alice: Any) -> None:
    with pytest.raises(UsageError, match="not a server of Telegram"):
        session_operations.add(context(), "a", "alice", login(1, "127.0.0.1"))
    assert sessions.count() == 0


def test_a_line_with_a_login_to_another_server_is_bad(alice: Any, home: Path) -> None:
    path = jsonl(home / "l.jsonl", {"name": "a", "login": login(1, "127.0.0.1")})
    [(status, reason)] = outcomes(path, user="alice").values()
    assert status == "bad" and "not a server of Telegram" in reason


def test_a_line_may_not_give_a_session_to_another_user_than_the_given_one(
    alice: Any, home: Path
) -> None:
    users.create("bob")
    path = jsonl(
        home / "l.jsonl",
        {"name": "a", "user": "bob", "login": login(1)},
        {"name": "b", "user": "alice", "login": login(2)},
    )
    found = outcomes(path, user="alice")
    assert [status for status, _ in found.values()] == ["bad", "added"]
    assert "--user is 'alice'" in found[1][1]


@pytest.mark.parametrize("name", ["../out.session", "link.session", "/etc/passwd", "loop", "a\0b"])
def test_a_line_may_name_no_file_outside_the_directory_of_the_list(
    alice: Any, home: Path, name: str
) -> None:
    session_file(home / "out.session", 3)
    lists = home / "lists"
    lists.mkdir()
    (lists / "link.session").symlink_to(home / "out.session")
    (lists / "loop").symlink_to(lists / "loop")
    path = jsonl(lists / "l.jsonl", {"name": "a", "file": name})
    [(status, _)] = outcomes(path, user="alice").values()
    assert status == "bad"


def test_a_line_may_name_a_file_below_the_directory_of_the_list(alice: Any, home: Path) -> None:
    (home / "files").mkdir()
    session_file(home / "files" / "a.session", 3)
    path = jsonl(home / "l.jsonl", {"name": "a", "file": "files/a.session"})
    assert outcomes(path, user="alice") == {1: ("added", "")}


@given(st.binary(max_size=400))
def test_no_bytes_break_the_reading_of_lists(data: bytes) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        for name, head in (("l.csv", b"name,login,user\n"), ("l.jsonl", b"")):
            path = Path(folder) / name
            path.write_bytes(head + data)
            for it in imports.read(path):
                assert it.problem.isprintable() and (it.problem or it.login)
