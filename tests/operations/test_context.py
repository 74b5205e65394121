"""The one door: scopes, owners, dry runs, reasons; and what reads leave behind."""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.databases import open_sqlite

import afx.operations
from afx.app import ProcessServers
from afx.config import load
from afx.errors import AfxError, ForbiddenError, UsageError
from afx.operations import (
    audit_log,
    controls,
    overflow,
    rule_files,
    rules,
    sessions,
    users,
    workers,
)
from afx.operations.changes import bounded
from afx.operations.context import SCOPES, Actor, Context
from afx.security.keyfile import read_keys
from models.storage.sessions import NewSession
from models.storage.sessions import create as create_session
from models.storage.users import create as create_user


def context_of(home: Path, actor: Actor, **options: Any) -> Context:
    return ProcessServers(load(home=home)).context(actor, **options)


@pytest.fixture
def sqlite(home: Path) -> Any:
    from models import base

    database = open_sqlite(home)
    yield database
    base.close_database()


@pytest.fixture
def two_users(sqlite: Any, home: Path) -> Callable[..., Context]:
    """Alice owns one session, Bob two; returns what makes contexts."""
    read_keys(home, "")  # makes the secret key; for a database with logins none is made
    for name, owned in (("alice", ["a-1"]), ("bob", ["b-1", "b-2"])):
        user = create_user(name)
        for session in owned:
            create_session(user, NewSession(session, "sealed", session))
    return lambda *scopes, owner="", **options: context_of(
        home, Actor("test", frozenset(scopes or ("*",)), owner), **options
    )


def operations() -> dict[str, Callable[..., Any]]:
    found = {}
    for module in pkgutil.iter_modules(afx.operations.__path__):
        loaded = importlib.import_module(f"afx.operations.{module.name}")
        for name, it in vars(loaded).items():
            if inspect.isfunction(it) and it.__module__ == loaded.__name__:
                found[f"{module.name}.{name}"] = it
    return found


def test_every_public_function_that_takes_a_context_is_an_operation() -> None:
    helpers = {
        "answers.once",
        "search.find",
        "changes.change",
        "waiting.leader_known",
        "controls.check_owner",
        "leader.wake_leader",
        "rule_options.check_life",
        "task_requests.prepare",
        "tasks.owner_id",
    }
    public = {
        name
        for name, it in operations().items()
        if next(iter(inspect.signature(it).parameters), "") == "context"
        and not name.partition(".")[2].startswith("_")
    }
    assert public - helpers == set(SCOPES)


def test_every_scope_names_a_noun_and_a_verb() -> None:
    for scope in SCOPES.values():
        noun, _, verb = scope.partition(":")
        assert noun.isalpha() and verb in ("read", "write")


@pytest.mark.parametrize(
    ("scopes", "allowed"),
    [
        (("*",), True),
        (("session:write",), True),
        (("session:*",), True),
        (("*:write",), True),
        (("session:read", "worker:write"), False),
        ((), False),
    ],
)
def test_a_scope_is_given_exactly_or_by_a_wildcard(scopes: tuple[str, ...], allowed: bool) -> None:
    assert Actor("test", frozenset(scopes)).may("session:write") is allowed


def test_an_actor_without_the_scope_is_refused_before_anything_is_done(
    two_users: Callable[..., Context],
) -> None:
    context = two_users("session:read")
    assert [it.name for it in sessions.listing(context).rows] == ["a-1", "b-1", "b-2"]
    with pytest.raises(ForbiddenError, match="session:write"):
        sessions.pause(context, "a-1")
    with pytest.raises(ForbiddenError, match="user:read"):
        users.listing(context)


def test_an_actor_limited_to_an_owner_sees_only_the_owners_sessions(
    two_users: Callable[..., Context],
) -> None:
    context = two_users(owner="alice")
    assert [it.name for it in sessions.listing(context).rows] == ["a-1"]
    assert sessions.names_beginning(context, "") == ["a-1"]
    for text in ("b-1", "b", "2"):
        with pytest.raises(UsageError, match="no session"):
            sessions.show(context, text)
    with pytest.raises(ForbiddenError, match="alice"):
        sessions.listing(context, sessions.SessionFilter(user="bob"))


def test_an_actor_limited_to_an_owner_changes_only_the_owners_sessions_and_rules(
    two_users: Callable[..., Context],
) -> None:
    everything, limited = two_users(), two_users(owner="alice")
    chats: dict[str, Any] = {"sources": ["@aaaa"], "destinations": ["@bbbb"]}
    rules.add(everything, "b-1", **chats, name="theirs")
    rules.add(limited, "a-1", **chats, name="mine")
    assert [it.path for it in rules.listing(limited).rows] == ["a-1/mine"]
    for text in ("b-1/theirs", "1"):
        with pytest.raises(UsageError, match=r"no rule|no session"):
            rules.remove(limited, text)
    with pytest.raises(UsageError, match="no session"):
        sessions.remove(limited, "b-1")
    assert sessions.pause(limited, "a-1").control is not None


def test_an_actor_limited_to_an_owner_cannot_act_on_the_cluster(
    two_users: Callable[..., Context],
) -> None:
    limited = two_users(owner="alice")
    for act in (users.listing, overflow.listing, controls.listing, audit_log.listing):
        with pytest.raises(ForbiddenError, match="whole cluster"):
            act(limited)  # type: ignore[operator]
    with pytest.raises(ForbiddenError):
        workers.cordon(limited, ["w1"])


def test_a_control_of_another_users_session_is_hidden(two_users: Callable[..., Context]) -> None:
    limited = two_users(owner="alice")
    mine = sessions.pause(limited, "a-1").control
    theirs = sessions.pause(two_users(), "b-1").control
    assert mine is not None and theirs is not None
    assert controls.show(limited, mine).session == "a-1"
    for act in (controls.show, controls.cancel):
        with pytest.raises(ForbiddenError):
            act(limited, theirs)


def test_a_change_records_its_reason_and_the_old_and_new_content(
    two_users: Callable[..., Context],
) -> None:
    context = two_users(reason="a better plan")
    users.set_tier(context, "alice", "premium")
    [entry] = audit_log.listing(context, action="user.tier").rows
    assert entry.details == {
        "before": {"tier": "free"},
        "after": {"tier": "premium"},
        "reason": "a better plan",
    }


def test_an_applied_rule_file_is_recorded_rule_by_rule(two_users: Callable[..., Context]) -> None:
    context = two_users()
    for destination in ("'@bbbb'", "'@cccc'"):
        text = f"rules:\n- {{session: a-1, name: n, from: '@aaaa', to: {destination}}}\n"
        changes = rule_files.plan(context, text.encode(), "r.yaml", prune=False)
        rule_files.apply(context, changes, "r.yaml")
    entry = audit_log.listing(context, action="rule.apply").rows[0]
    [recorded] = entry.details["change"]
    assert (entry.target, recorded["rule"]) == ("r.yaml", "a-1/n")
    assert (recorded["before"]["to"], recorded["after"]["to"]) == (["@bbbb"], ["@cccc"])


def test_a_dry_run_records_nothing(two_users: Callable[..., Context]) -> None:
    context = two_users(dry_run=True)
    users.set_tier(context, "alice", "premium")
    assert not audit_log.listing(context).rows
    assert users.show(context, "alice").tier == "free"


def test_a_reason_that_is_too_long_or_cannot_be_printed_is_refused(home: Path) -> None:
    for reason in ("x" * 501, "a\x1b[2J"):
        with pytest.raises(UsageError, match="reason"):
            context_of(home, Actor("test"), reason=reason)


def test_details_that_are_too_large_are_shortened_and_say_so() -> None:
    details = {"names": [f"session-{n:05d}" for n in range(1000)], "text": "x" * 5000, "n": 1}
    found = bounded(details, 3000)
    assert len(json.dumps(found)) < 3000
    assert found["names"][0] == "session-00000"
    assert len(found["names"]) + found["names_left_out"] == 1000
    assert found["text"] == {"left_out_bytes": 5002}
    assert found["n"] == 1


# --- what reads leave behind ------------------------------------------------------------


def test_a_read_in_an_unused_home_finds_nothing_and_creates_nothing(home: Path) -> None:
    unused = home / "unused"
    with ProcessServers(load(home=unused)) as servers:
        context = servers.context(Actor("test"))
        assert sessions.listing(context).rows == ()
        assert users.listing(context).rows == ()
    assert not unused.exists()


def test_a_change_after_a_read_creates_the_database_for_its_owner_only(home: Path) -> None:
    unused = home / "unused"
    with ProcessServers(load(home=unused)) as servers:
        context = servers.context(Actor("test"))
        assert users.listing(context).rows == ()
        users.add(context, "alice", "free")
        assert [it.name for it in users.listing(context).rows] == ["alice"]
        modes = {it.name: stat.S_IMODE(it.stat().st_mode) for it in unused.iterdir()}
    assert set(modes.values()) == {0o600}, modes
    assert stat.S_IMODE(unused.stat().st_mode) == 0o700


def test_a_named_database_that_is_missing_is_not_created_by_a_read(home: Path) -> None:
    url = f"sqlite:///{home}/other.db"
    with ProcessServers(load(home=home, database_url=url)) as servers:
        with pytest.raises(AfxError, match="afx db upgrade"):
            users.listing(servers.context(Actor("test")))
    assert not (home / "other.db").exists()
