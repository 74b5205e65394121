"""Proxies as they are stored, on SQLite and on Postgres."""

from __future__ import annotations

from typing import Any

import peewee
import pytest

from afx.errors import ConflictError, NotFoundError, QuotaError, UsageError
from models import schema
from models.storage import logins, placing, proxies, sessions
from models.storage.proxies import NewProxy
from models.storage.sessions import NewSession
from models.tables import Session


def add(name: str, pool: str = "", **requires: str) -> int:
    return proxies.add(
        NewProxy(name, pool, "socks5", "h.example", 1080, requires, lambda it: f"sealed for {it}")
    )


def session(session_id: int) -> Session:
    return Session.get_by_id(session_id)  # type: ignore[no-any-return]


def test_a_proxy_is_added_found_listed_and_removed(ids: list[int]) -> None:
    made = add("eu-1", "eu", region="eu")
    assert proxies.find("eu-1").sealed == f"sealed for {made}"
    [row] = proxies.listing(pool="eu").rows
    assert (row["name"], row["state"], row["sessions"], row["requires"]) == (
        "eu-1",
        "unknown",
        0,
        {"region": "eu"},
    )
    assert "sealed" not in row
    assert proxies.describe(proxies.find("eu-1")) == row
    assert proxies.names_beginning("eu") == ["eu-1"]
    assert not proxies.listing(pool="us").rows
    with pytest.raises(ConflictError, match="another name"):
        add("eu-1")
    with pytest.raises(UsageError, match="name"):
        add("")
    proxies.remove(proxies.find("eu-1"))
    with pytest.raises(NotFoundError):
        proxies.find("eu-1")
    assert ids


def test_there_are_only_so_many(database: object, monkeypatch: pytest.MonkeyPatch) -> None:
    del database
    monkeypatch.setattr(proxies, "MOST_PROXIES", 1)
    add("one")
    with pytest.raises(QuotaError):
        add("two")


def test_a_session_that_gets_another_proxy_is_restarted_and_another_time_is_not(
    ids: list[int],
) -> None:
    add("one")
    one = proxies.find("one")
    before = session(ids[0]).revision
    assert proxies.assign(session(ids[0]), one)
    assert session(ids[0]).revision == before + 1
    assert not proxies.assign(session(ids[0]), one)
    assert session(ids[0]).revision == before + 1
    assert proxies.of_session(ids[0]) == one
    [login] = logins.of_sessions([ids[0]])
    assert (login.proxy, login.sealed_proxy) == (one.id, one.sealed)
    with pytest.raises(ConflictError, match="is that of s0"):
        proxies.remove(one)
    with pytest.raises(ConflictError, match="connect directly"):
        schema.downgrade("0038_proxies")
    schema.upgrade()
    assert proxies.assign(session(ids[0]), None)
    assert not proxies.assign(session(ids[0]), None)
    assert proxies.of_session(ids[0]) is None
    assert logins.of_sessions([ids[0]])[0].proxy is None


def test_of_a_pool_the_proxy_is_taken_that_works_and_is_used_least(ids: list[int]) -> None:
    first, second = add("a", "eu"), add("b", "eu")
    add("c", "us")
    assert proxies.least_used("eu").id == first
    proxies.assign(session(ids[0]), proxies.find("a"))
    assert proxies.least_used("eu").id == second
    proxies.note([(second, "it does not answer")])
    assert proxies.least_used("eu").id == first
    proxies.note([(first, "it does not answer")])
    with pytest.raises(ConflictError, match="All proxies of the pool 'eu' fail"):
        proxies.least_used("eu")
    with pytest.raises(NotFoundError, match="There is no pool 'asia'"):
        proxies.least_used("asia")


def test_what_a_session_shows_of_its_proxy_is_noted(ids: list[int]) -> None:
    made = add("one")
    for it in ids[:2]:
        proxies.assign(session(it), proxies.find("one"))
    assert proxies.failing_sessions() == []
    # A session without a proxy shows nothing of one.
    assert proxies.note_of_sessions([(ids[2], "x"), (ids[0], "y" * 500)]) == ids[:2]
    row = proxies.describe(proxies.find("one"))
    assert (row["state"], len(row["error"])) == ("fails", 200)
    since = row["state_since"]
    proxies.note([(made, "again")])
    assert proxies.describe(proxies.find("one"))["state_since"] == since
    assert sessions.describe(session(ids[1]))["proxy_error"] == "again"
    assert sorted(proxies.failing_sessions()) == ids[:2]
    assert proxies.note_of_sessions([(ids[1], "")]) == []
    assert proxies.describe(proxies.find("one"))["state"] == "works"
    assert proxies.note_of_sessions([]) == []


def test_a_proxy_whose_row_is_away_is_not_none_at_all(ids: list[int], database: Any) -> None:
    if not isinstance(database, peewee.SqliteDatabase):
        pytest.skip("Postgres lets no row of a proxy be away")
    database.execute_sql("PRAGMA foreign_keys = 0")
    try:
        database.execute_sql("UPDATE sessions SET proxy_id = 77 WHERE id = ?", (ids[0],))
        [login] = logins.of_sessions([ids[0]])
        assert (login.proxy, login.sealed_proxy) == (77, None)
    finally:
        database.execute_sql("UPDATE sessions SET proxy_id = NULL")
        database.execute_sql("PRAGMA foreign_keys = 1")


def test_a_session_has_a_device_if_it_was_imported_with_one(ids: list[int]) -> None:
    owner = session(ids[0]).user
    [made] = sessions.create_many(owner, [NewSession("other", "sealed", device="sealed, too")])
    assert (sessions.device(made), sessions.device(ids[0]), sessions.device(999)) == (
        "sealed, too",
        "",
        "",
    )
    assert [it.device for it in logins.of_sessions([made])] == ["sealed, too"]
    with pytest.raises(ConflictError, match="as another one"):
        schema.downgrade("0039_devices")
    schema.upgrade()


def test_a_session_requires_what_its_proxy_requires(ids: list[int]) -> None:
    add("one", exit="eu-1")
    sessions.set_requires(session(ids[0]), {"region": "eu"})
    proxies.assign(session(ids[0]), proxies.find("one"))
    both = frozenset({"region=eu", "exit=eu-1"})
    found = {it.id: it.requires for it in placing.unplaced(10)}
    assert found == {ids[0]: both, ids[1]: frozenset(), ids[2]: frozenset()}
    assert placing.traits(ids)[ids[0]].requires == both
