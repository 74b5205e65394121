"""Proxies: added by operators, given to sessions, and never shown with their secrets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
from support.databases import prepare

from afx.app import ProcessServers
from afx.config import load
from afx.errors import ConflictError, ForbiddenError, SecretError, UsageError
from afx.operations import audit_log, proxies, sessions
from afx.operations.context import Actor, Context
from models.proxy_tables import Proxy
from models.storage import sessions as stored
from models.storage import users
from models.storage.sessions import NewSession
from models.tables import Session

URL = "socks5://ann:hunter2@h.example:1080"


@pytest.fixture
def context(home: Path) -> Iterator[Context]:
    prepare(home)
    with ProcessServers(load(home=home)) as servers:
        servers.open_database(create=True)
        vault = servers.vault()
        [number] = stored.create_many(users.create("alice"), [NewSession("main", "")])
        sealed = vault.seal("login", session_id=number)
        Session.update(login=sealed).execute()
        yield servers.context(Actor("test"))


def test_the_secrets_of_a_proxy_are_in_no_row_and_no_audit_entry(context: Context) -> None:
    proxies.add(context, "eu-1", URL, pool="eu", requires={})
    [row] = proxies.listing(context).rows
    entries = audit_log.listing(context).rows
    assert entries[0].details["after"]["proxy"] == "socks5://h.example:1080"
    for it in (asdict(row), Proxy.select().dicts().get(), [asdict(it) for it in entries]):
        assert "hunter2" not in str(it)
    assert [it.url for it in proxies.opened(context)] == [URL]
    assert [it.url for it in proxies.opened(context, ["eu-1"])] == [URL]
    assert proxies.opened(context, pool="us") == []


def test_a_session_gets_a_proxy_by_name_or_from_a_pool_and_keeps_it(context: Context) -> None:
    for name in ("eu-1", "eu-2"):
        proxies.add(context, name, URL, pool="eu", requires={})
    assert proxies.assign(context, "main", pool="eu") == ("main", "eu-1", True)
    assert sessions.show(context, "main").session.proxy == "eu-1"
    # It has one of the pool: it stays there.
    assert proxies.assign(context, "main", pool="eu") == ("main", "eu-1", False)
    proxies.note_checks(context, [(proxies.show(context, "eu-1").id, "it does not answer")])
    assert sessions.show(context, "main").session.proxy_error == "it does not answer"
    assert proxies.assign(context, "main", pool="eu") == ("main", "eu-2", True)
    found = proxies.of_session(context, "main")
    assert found is not None
    assert found.url == URL
    with pytest.raises(ConflictError):
        proxies.remove(context, "eu-2")
    assert proxies.assign(context, "main", none=True) == ("main", "", True)
    assert proxies.of_session(context, "main") is None
    assert proxies.remove(context, "eu-2") == "eu-2"
    assert proxies.names_beginning(context, "eu") == ["eu-1"]
    assert proxies.choose(context, proxy="eu-1").name == "eu-1"


def test_one_way_is_given_and_no_other(context: Context) -> None:
    proxies.add(context, "p", URL, requires={})
    for given in ({}, {"proxy": "p", "none": True}, {"proxy": "p", "pool": "x"}):
        with pytest.raises(UsageError, match="Give one"):
            proxies.assign(context, "main", **given)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="There is no proxy"):
        proxies.assign(context, "main", proxy="nothing")


def test_a_proxy_whose_row_was_changed_or_exchanged_is_not_used(context: Context) -> None:
    proxies.add(context, "p", URL, requires={})
    proxies.add(context, "q", "http://h:1", requires={})
    Proxy.update(host="elsewhere").where(Proxy.name == "p").execute()
    with pytest.raises(ConflictError, match="was changed"):
        proxies.opened(context, ["p"])
    other = Proxy.get(Proxy.name == "q")
    Proxy.update(sealed=other.sealed).where(Proxy.name == "p").execute()
    with pytest.raises(SecretError, match="is another one"):
        proxies.opened(context, ["p"])


def test_a_customer_sees_no_proxies_and_sets_none(context: Context) -> None:
    proxies.add(context, "p", URL, requires={})
    customer = context.servers.context(Actor("token", owner="alice"))  # type: ignore[attr-defined]
    for call in (
        lambda: proxies.listing(customer),
        lambda: proxies.opened(customer),
        lambda: proxies.assign(customer, "main", proxy="p"),
        lambda: proxies.of_session(customer, "main"),
    ):
        with pytest.raises(ForbiddenError):
            call()
