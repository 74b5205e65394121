"""Migrations: what they make, and the way back."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import Any

import peewee
import pytest

from afx.errors import AfxError
from models import analytics_tables, base, schema, tables


def shape(database: Any) -> dict[str, Any]:
    """What the database says of itself, names of indexes and constraints aside."""
    found: dict[str, Any] = {}
    sqlite = isinstance(database, peewee.SqliteDatabase)
    for table in tables.ALL:
        name = table._meta.table_name
        found[name] = {
            "columns": {
                (it.name, kind(it.data_type, sqlite), it.null) for it in database.get_columns(name)
            },
            "keys": {
                (it.column, it.dest_table, it.dest_column) for it in database.get_foreign_keys(name)
            },
            "indexes": {
                (tuple(it.columns), it.unique, condition(it.sql))
                for it in database.get_indexes(name)
                # Models cannot say that an index is for patterns, on Postgres only.
                if not it.name.endswith("_pattern")
            },
            "checks": checks(database, name),
        }
    return found


def kind(text: str, sqlite: bool) -> str:
    kind = text.lower().replace("character varying", "varchar")
    kind = {"serial": "integer", "bool": "boolean"}.get(kind, kind)
    # SQLite knows affinities only: to it these are one.
    return "integer" if sqlite and kind in ("bigint", "boolean") else kind


def condition(statement: str | None) -> str:
    _, _, after = (statement or "").upper().partition(" WHERE ")
    words = re.findall(r"[A-Z_]+|<>|!=|=", re.sub(r"::[A-Z ]+(\[\])?", "", after))
    return " ".join(it for it in words if it not in ("IN", "ANY", "ARRAY", "=")).replace("!=", "<>")


def checks(database: Any, name: str) -> set[tuple[str, ...]]:
    if isinstance(database, peewee.SqliteDatabase):
        statement = database.execute_sql(
            "SELECT sql FROM sqlite_master WHERE name = ?", (name,)
        ).fetchone()[0]
        texts = re.findall(r"CHECK \(((?:[^()]|\([^()]*\))*)\)", statement)
    else:
        texts = [
            it
            for (it,) in database.execute_sql(
                "SELECT pg_get_constraintdef(oid) FROM pg_constraint"
                " WHERE contype = 'c' AND conrelid = %s::regclass",
                (name,),
            ).fetchall()
        ]
    return {tuple(sorted(re.findall(r"'(\w+)'|\b(\d+)\b", it))) for it in texts}  # type: ignore[misc]


def test_the_schema_of_the_migrations_is_that_of_the_models(database: Any) -> None:
    migrated = shape(database)
    schema.downgrade("0001_initial")
    database.create_tables(tables.ALL)
    created = shape(database)
    for name, table in created.items():
        for what in table:
            assert migrated[name][what] == table[what], f"{name}: {what}"
    database.drop_tables(tables.ALL)


def filled(database: Any, name: str) -> int:
    return int(database.execute_sql(f"SELECT COUNT(*) FROM {name}").fetchone()[0])


def test_each_migration_goes_down_and_up_with_data_in_it(database: Any) -> None:
    user = tables.User.create(name="alice")
    session = tables.Session.create(id=1, user=user, name="main", login="x", force_insert=True)
    tables.Rule.create(session=session, name="news", sources=["@a"], destinations=["@b"])
    tables.Worker.create(name="w1", incarnation="i", hostname="h", state="ready")
    tables.SessionAssignment.create(
        session=session, worker="w1", incarnation="i", epoch=1, state="running"
    )
    tables.WorkerControl.create(kind="move", subject="session", session=session, actor="me")
    tables.WorkerTask.create(kind="export", session=session, arguments="{}")
    for span in (0, 60):
        analytics_tables.WorkerAnalytics.create(
            worker="w1",
            span=span,
            rss=1,
            rss_max=1,
            cpu=1,
            cpu_max=1,
            sessions=1,
            sessions_max=1,
            forwarded=1,
            load=1,
            load_max=1,
        )
    names = schema.applied()
    for name in reversed(names[1:]):
        assert schema.downgrade() == [name]
        with pytest.raises(AfxError, match="afx db upgrade"):
            schema.check()
    assert (filled(database, "sessions"), filled(database, "rules")) == (1, 1)
    assert filled(database, "worker_analytics") == 1  # roll-ups are of the newer schema only
    assert schema.upgrade() == names[1:]
    schema.check()
    assert tables.Rule.get().name == "rule-1"
    assert tables.ClusterState.get_by_id(1).next_session == 2
    assert analytics_tables.WorkerAnalytics.get().rss_max == 1
    assert schema.downgrade(names[0]) == names[::-1]
    assert schema.upgrade() == names


def test_two_upgrades_at_once_wait_for_each_other(database: Any) -> None:
    schema.downgrade("0001_initial")
    applied: list[list[str]] = []

    def upgrade() -> None:
        applied.append(schema.upgrade())
        base.proxy.close()

    both = [threading.Thread(target=upgrade) for _ in range(2)]
    for it in both:
        it.start()
    for it in both:
        it.join()
    assert sorted(applied) == [[], schema.applied()]


def test_a_schema_of_a_newer_afx_is_refused_with_the_remedy(database: Any) -> None:
    database.execute_sql(
        "INSERT INTO schema_migration (name, applied) VALUES ('9999_future', '2030-01-01 00:00:00')"
    )
    with pytest.raises(AfxError, match="newer afx"):
        schema.check()


def test_every_migration_has_a_downgrade() -> None:
    for path in Path(schema.__file__).parent.glob("migrations/[0-9]*.py"):
        assert "def down(" in path.read_text(), path.name
