"""Actors that are limited to one owner: what of other owners they see or change."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.databases import open_sqlite

from afx.app import ProcessServers
from afx.config import load
from afx.errors import AfxError, ForbiddenError, UsageError
from afx.operations import audit_log, controls, rule_files, rules, sessions, users
from afx.operations.context import Actor, Context
from afx.operations.rule_files import Change, RuleDoc
from models import base
from models.storage.sessions import NewSession
from models.storage.sessions import create as create_session
from models.storage.users import create as create_user


@pytest.fixture
def context_for(home: Path) -> Any:
    """Alice2 and Bob own a session each; returns what makes contexts, by owner."""
    open_sqlite(home)
    servers = ProcessServers(load(home=home))
    servers.vault()  # makes the secret key; for a database with logins none is made
    for name, session in (("alice2", "a-1"), ("bob", "b-1")):
        create_session(create_user(name), NewSession(session, "sealed", session))
    yield lambda owner="": servers.context(Actor("test", owner=owner))
    base.close_database()


def test_an_owner_that_is_the_beginning_of_another_users_name_sees_nothing_of_that_user(
    context_for: Callable[..., Context],
) -> None:
    limited = context_for("alice")
    assert sessions.listing(limited).rows == ()
    with pytest.raises(UsageError, match="no user"):
        users.show(limited, "alice")
    with pytest.raises(UsageError, match="no user"):
        sessions.check_new(limited, "new", "alice")


def test_other_users_names_do_not_show_in_refusals(context_for: Callable[..., Context]) -> None:
    create_user("bert")
    limited = context_for("alice2")
    refusals = set()
    for name in ("b", "bob", "nobody", ""):
        with pytest.raises(ForbiddenError) as refused:
            sessions.check_new(limited, "new", name)
        refusals.add(str(refused.value))
    assert len(refusals) == 1
    assert not {it for it in refusals if "bob" in it or "bert" in it}


def test_whether_another_users_control_exists_does_not_show(
    context_for: Callable[..., Context],
) -> None:
    theirs = sessions.pause(context_for(), "b-1").control
    assert theirs is not None
    for control_id in (theirs, theirs + 1):
        for act in (controls.show, controls.cancel):
            with pytest.raises(ForbiddenError, match="not about a session of user 'alice2'"):
                act(context_for("alice2"), control_id)


def test_a_plan_cannot_replace_another_owners_rule(context_for: Callable[..., Context]) -> None:
    rules.add(context_for(), "b-1", sources=["@aaaa"], destinations=["@bbbb"], name="n")
    before = RuleDoc("b-1", "n", ("@aaaa",), ("@bbbb",), "copy", True)
    after = RuleDoc("a-1", "n", ("@aaaa",), ("@cccc",), "copy", True)
    with pytest.raises(AfxError, match="no session"):
        rule_files.apply(context_for("alice2"), [Change("change", before, after)], "f")
    assert rules.show(context_for(), "b-1/n").destinations == ["@bbbb"]


def test_a_rule_that_was_changed_since_the_plan_is_not_overwritten(
    context_for: Callable[..., Context],
) -> None:
    context = context_for()
    rules.add(context, "b-1", sources=["@aaaa"], destinations=["@bbbb"], name="n")
    text = b"rules:\n- {session: b-1, name: n, from: '@aaaa', to: '@cccc'}\n"
    changes = rule_files.plan(context, text, "f", prune=False)
    rules.set_enabled(context, "b-1/n", False)
    with pytest.raises(UsageError, match="changed meanwhile"):
        rule_files.apply(context, changes, "f")
    assert rules.show(context, "b-1/n").destinations == ["@bbbb"]


def test_the_secrets_of_a_rules_webhooks_are_its_sessions_own(
    context_for: Callable[..., Context],
) -> None:
    hook = "webhook:https://example.org/a"
    for session in ("a-1", "b-1"):
        destinations = ["@bbbb", hook, f"{hook}?b"]
        rules.add(context_for(), session, sources=["@aaaa"], destinations=destinations, name="n")
    mine = rules.output_secrets(context_for("alice2"), "a-1/n")
    theirs = rules.output_secrets(context_for(), "b-1/n")
    assert [it.destination for it in mine] == [hook, f"{hook}?b"]
    assert mine == rules.output_secrets(context_for(), "a-1/n"), "nothing of it is by chance"
    assert len({it.secret for it in (*mine, *theirs)}) == 4
    entry = audit_log.listing(context_for()).rows[0]
    assert (entry.action, entry.target) == ("rule.secret", "rule/a-1/n")
    assert entry.details == {"destinations": [hook, f"{hook}?b"]}
    with pytest.raises(AfxError):
        rules.output_secrets(context_for("alice2"), "b-1/n")
