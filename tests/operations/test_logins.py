"""Logins from outside: session strings, session files, whole lists."""

from __future__ import annotations

import base64
import csv
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from telethon.crypto import AuthKey
from telethon.sessions import SQLiteSession, StringSession

from afx.app import ProcessServers
from afx.config import load
from afx.errors import UsageError
from afx.operations import imports, logins
from afx.operations.context import Actor, Context
from afx.security.vault import Vault
from models.storage import audit, sessions, users

KEY = base64.urlsafe_b64encode(b"k" * 32).decode()


def context(*, dry_run: bool = False) -> Context:
    return ProcessServers(load(secret_key=KEY)).context(Actor("me"), dry_run=dry_run)


def login(seed: int, host: str = "149.154.167.51") -> str:
    login = StringSession()
    login.set_dc(2, host, 443)
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
    assert Vault([KEY]).open(sessions.find("b").login) == login(2)
    assert audit.listing(action="session.import").rows[0]["details"] == {"names": ["a", "b"]}


def test_a_bad_line_is_reported_and_affects_no_other(alice: Any, home: Path) -> None:
    users.create("bob")
    sealed = Vault([KEY]).seal("x")
    sessions.create(users.find("bob"), sessions.NewSession("taken", sealed, "f"))
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


@given(st.binary(max_size=400))
def test_no_bytes_break_the_reading_of_lists(data: bytes) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        for name, head in (("l.csv", b"name,login,user\n"), ("l.jsonl", b"")):
            path = Path(folder) / name
            path.write_bytes(head + data)
            for it in imports.read(path):
                assert it.problem.isprintable() and (it.problem or it.login)
