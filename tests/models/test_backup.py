"""Backups: one moment, in one file, for either database."""

from __future__ import annotations

import gzip
import hashlib
import json
import threading
from pathlib import Path
from typing import Any

import pytest
from support.databases import unguarded

from afx.errors import AfxError, UsageError
from models import audit_tables, backup, base, schema, tables
from models.storage import assignments, audit, cluster, sessions, tasks, users, workers
from models.storage.assignments import Active
from models.storage.sessions import NewSession
from models.storage.tasks import NewTask
from models.storage.workers import Seen


def quiet(table: str, rows: int) -> None:
    pass


@pytest.fixture
def filled(database: Any) -> Any:
    owner = users.create("alice", "premium")
    [one, two] = sessions.create_many(
        owner, [NewSession("é\n", "x", "f"), NewSession("two", "y", None)]
    )
    sessions.mark_removing(sessions.find("two"))
    cluster.begin_generation(3)
    with base.transaction():
        assignments.create_many([Active(one, "w1", "i", 5, "assigned")])
        workers.seen_many([Seen("w1", "i", "h", "ready")])
    tasks.submit([NewTask("export", two, '{"deep":[1,null,"é"]}')], "me")
    audit.append("me", "user.add", "user/alice", {}, b"key")
    return database


def contents() -> dict[str, list[Any]]:
    return {
        it.__name__: sorted(map(str, it.select().dicts()))
        for it in tables.ALL
        if it not in (tables.ClusterState, tables.SessionAssignment)
    }


def test_a_restored_database_holds_what_the_backup_does(filled: Any, home: Path) -> None:
    before = contents()
    written = backup.write(home / "b.gz", quiet)
    assert (home / "b.gz").stat().st_mode & 0o777 == 0o600
    assert written.tables["sessions"] == 2 and written.rows == backup.check(home / "b.gz").rows
    users.create("later")
    with unguarded(filled):
        base.execute("DELETE FROM audit_log")
    backup.restore(home / "b.gz", quiet)
    assert contents() == before
    users.create("after")  # sequences go on where they were
    tasks.submit([NewTask("export")], "me")


def test_after_a_restore_nothing_runs_and_no_epoch_is_reused(filled: Any, home: Path) -> None:
    backup.write(home / "b.gz", quiet)
    high = [cluster.begin_generation(term) for term in (4, 5, 6)][-1]
    sessions.create_many(users.find("alice"), [NewSession("third", "z")])
    backup.restore(home / "b.gz", quiet)
    assert assignments.active() == []
    assert cluster.begin_generation(7) > high
    [fresh] = sessions.create_many(users.find("alice"), [NewSession("fourth", "z")])
    assert fresh == 4


def test_the_audit_log_is_guarded_again_after_a_restore(filled: Any, home: Path) -> None:
    backup.write(home / "b.gz", quiet)
    backup.restore(home / "b.gz", quiet)
    assert audit.verify([b"key"]).faults == ()
    with pytest.raises(Exception, match="append-only"):
        audit_tables.AuditEntry.delete().execute()


def test_a_backup_of_one_database_goes_into_the_other(
    home: Path, request: pytest.FixtureRequest
) -> None:
    urls = [f"sqlite:///{home}/afx.db", request.getfixturevalue("_postgres")]
    for source, target in (urls, urls[::-1]):
        base.open_database(target)
        if base.is_postgres():
            base.execute("DROP SCHEMA public CASCADE")
            base.execute("CREATE SCHEMA public")
        schema.upgrade()
        base.close_database()
        base.open_database(source)
        schema.upgrade()
        users.create(f"user of {source[:6]}")
        sessions.create_many(users.find("user of"), [NewSession("s", "x")])
        backup.write(home / "b.gz", quiet, overwrite=True)
        before = contents()
        base.close_database()
        base.open_database(target)
        backup.restore(home / "b.gz", quiet)
        assert contents() == before
        for it in sessions.listing().rows:
            sessions.remove_many([it["id"]])
        users.remove(users.find("user of"))
        base.close_database()


def test_a_backup_is_of_one_moment_while_others_write(filled: Any, home: Path) -> None:
    """Two rows change together, again and again; the backup has both or neither."""
    cluster.begin_generation(9)
    for name in ("a", "b"):
        tables.User.create(name=name, created_at=base.instant(0))
    ended = threading.Event()
    failed: list[BaseException] = []

    def write() -> None:
        try:
            with base.proxy.connection_context():
                for number in range(1_000_000):
                    with base.transaction():
                        for name in ("a", "b"):
                            tables.User.update(created_at=base.instant(number)).where(
                                tables.User.name == name
                            ).execute()
                    if ended.is_set():
                        return
        except BaseException as error:
            failed.append(error)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(5):
            backup.write(home / f"{number}.gz", quiet)
    finally:
        ended.set()
        writer.join()
    assert not failed
    for number in range(5):
        text = gzip.decompress((home / f"{number}.gz").read_bytes()).decode()
        stamps = [
            value[3]
            for kind, value in backup._lines(home / f"{number}.gz")
            if kind == "row" and len(value) == 6 and value[1] in ("a", "b")
        ]
        assert len(stamps) == 2 and stamps[0] == stamps[1], text[:300]


@pytest.mark.parametrize("harm", ["cut", "flip", "row", "empty", "text", "no end"])
def test_a_damaged_backup_is_refused_and_changes_nothing(
    filled: Any, home: Path, harm: str
) -> None:
    path = home / "b.gz"
    backup.write(path, quiet)
    data = path.read_bytes()
    lines = gzip.decompress(data).splitlines(keepends=True)
    harmed = {
        "cut": data[: len(data) // 2],
        "flip": data[:100] + bytes([data[100] ^ 1]) + data[101:],
        "row": gzip.compress(b"".join(it.replace(b"alice", b"mallory") for it in lines)),
        "empty": b"",
        "text": b"hello",
        "no end": gzip.compress(b"".join(lines[:-1])),
    }
    path.write_bytes(harmed[harm])
    before = contents()
    with pytest.raises(UsageError):
        backup.restore(path, quiet)
    assert contents() == before


def forged(lines: list[Any]) -> bytes:
    """Return a backup of any lines, with the right checksum."""
    data = [json.dumps(it, separators=(",", ":"), ensure_ascii=False).encode() for it in lines]
    text = b"".join(it + b"\n" for it in data)
    end = {
        "rows": sum(isinstance(it, list) for it in lines),
        "sha256": hashlib.sha256(text).hexdigest(),
    }
    return gzip.compress(text + json.dumps(end, separators=(",", ":")).encode() + b"\n")


HARMS = ("column", "another column", "table", "twice", "wide row", "nested", "row first")
HEADER_FIELDS = ("created_at", "database", "migrations")


@pytest.mark.parametrize("harm", [*HARMS, *HEADER_FIELDS])
def test_a_backup_whose_names_or_rows_do_not_fit_the_model_is_refused(
    filled: Any, home: Path, harm: str
) -> None:
    path = home / "b.gz"
    backup.write(path, quiet)
    lines = [json.loads(it) for it in gzip.decompress(path.read_bytes()).splitlines()[:-1]]
    users_table = next(it for it in lines if isinstance(it, dict) and it.get("table") == "users")
    row = next(it for it in lines if isinstance(it, list))
    if harm == "column":
        inserted = "(SELECT login FROM sessions LIMIT 1)); DELETE FROM users; --"
        users_table["columns"][1] = f"name) SELECT {inserted}"
    elif harm == "another column":
        users_table["columns"][1] = "login"
    elif harm == "table":
        users_table["table"] = "sqlite_master"
    elif harm == "twice":
        lines.append(users_table)
    elif harm == "wide row":
        row.append(1)
    elif harm == "nested":
        row[-1] = {"a": 1}
    elif harm == "row first":
        lines.insert(1, [1])
    else:
        lines[0][harm] = 7
    path.write_bytes(forged(lines))
    before = contents()
    with pytest.raises(UsageError):
        backup.check(path)
    with pytest.raises(UsageError):
        backup.restore(path, quiet)
    assert contents() == before


def test_a_partial_backup_follows_no_link_that_was_prepared(filled: Any, home: Path) -> None:
    victim = home / "victim"
    victim.write_text("precious")
    (home / "b.gz.partial").symlink_to(victim)
    backup.write(home / "b.gz", quiet)
    assert victim.read_text() == "precious"
    assert not (home / "b.gz").is_symlink()


def test_a_partial_backup_is_never_a_file_that_exists(
    filled: Any, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("secrets.token_hex", lambda _: "guessed")
    (home / "b.gz.guessed.partial").write_text("prepared by another user")
    with pytest.raises(AfxError, match="cannot be written"):
        backup.write(home / "b.gz", quiet)


def test_a_backup_of_another_schema_is_refused(filled: Any, home: Path) -> None:
    backup.write(home / "b.gz", quiet)
    schema.downgrade("0003_placement")
    with pytest.raises(UsageError, match="0002_operations"):
        backup.restore(home / "b.gz", quiet)


def test_a_file_that_is_there_is_not_replaced(filled: Any, home: Path) -> None:
    backup.write(home / "b.gz", quiet)
    with pytest.raises(UsageError, match="--overwrite"):
        backup.write(home / "b.gz", quiet)
    backup.write(home / "b.gz", quiet, overwrite=True)
    with pytest.raises(AfxError, match="cannot be written"):
        backup.write(home / "none" / "b.gz", quiet)
    assert sorted(it.name for it in home.glob("*.gz*")) == ["b.gz"]
