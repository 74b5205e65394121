"""What an operator may ask of sessions that hibernate, and what the answer is."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from support.databases import prepare

from afx.app import ProcessServers
from afx.config import load
from afx.errors import ConflictError
from afx.operations import audit_log, controls, session_bulk, sessions
from afx.operations.context import Actor, Context
from models.base import transaction, utc_now
from models.storage import hibernation, rules, users
from models.storage import sessions as stored
from models.storage.sessions import NewSession
from models.tables import Session


@pytest.fixture
def context(home: Path) -> Iterator[Context]:
    prepare(home)
    with ProcessServers(load(home=home)) as servers:
        servers.open_database(create=True)
        servers.vault()
        rows = [NewSession(f"s{it}", "sealed", f"f{it}") for it in range(3)]
        stored.create_many(users.create("alice"), rows)
        Session.update(created_at=utc_now() - timedelta(days=3)).where(
            Session.name != "s2"
        ).execute()
        yield servers.context(Actor("test"), reason="it is quiet")


def change(context: Context, verb: Any, chosen: Any) -> session_bulk.BulkResult:
    return session_bulk.change(context, session_bulk.plan(context, verb, chosen))


def state(context: Context, name: str) -> tuple[str, str]:
    found = sessions.show(context, name).session
    return found.state, found.hibernation


def test_a_request_has_a_control_and_an_audit_entry_with_its_reason(context: Context) -> None:
    done = sessions.hibernate(context, "s0")
    assert state(context, "s0") == ("hibernated", "requested")
    wakes_at = sessions.show(context, "s0").session.wakes_at
    assert wakes_at is not None
    assert timedelta(minutes=13) < wakes_at - utc_now() <= timedelta(minutes=15)
    [control] = controls.listing(context).rows
    assert (control.id, control.kind) == (done.control, "hibernate")
    [entry] = audit_log.listing(context, action="session.hibernate").rows
    assert entry.details["reason"] == "it is quiet"
    assert entry.details["before"]["desired_state"] == "running"
    assert sessions.hibernate(context, "s0").note == "hibernates already"


def test_a_session_that_hibernates_is_woken_paused_or_resumed(context: Context) -> None:
    for act, expected in (
        (sessions.wake, "unplaced"),
        (sessions.resume, "unplaced"),
        (sessions.pause, "paused"),
    ):
        sessions.hibernate(context, "s0")
        assert act(context, "s0").control is not None
        assert state(context, "s0") == (expected, "")
        for control in controls.listing(context).rows:  # there is no leader
            if control.state == "requested":
                controls.cancel(context, control.id)
    [entry] = audit_log.listing(context, action="session.wake").rows
    assert entry.details["before"]["hibernation"] == "requested"


def test_a_session_that_is_paused_stays_so(context: Context) -> None:
    sessions.pause(context, "s0")
    assert sessions.hibernate(context, "s0").note == "is paused; resume it"
    done = change(context, "hibernate", sessions.SessionFilter(user="alice"))
    assert [it.state for it in done.items] == ["done", "requested", "refused"]
    assert state(context, "s0") == ("paused", "")


def test_only_what_hibernates_can_be_woken(context: Context) -> None:
    assert sessions.wake(context, "s0").note == "does not hibernate"
    sessions.pause(context, "s0")
    assert sessions.wake(context, "s0").note.endswith("resume it")


def test_a_session_that_hibernates_for_want_of_a_rule_is_woken_by_a_rule(context: Context) -> None:
    found = stored.find("s0")
    rows = [(found.id, found.revision, utc_now() + timedelta(days=5))]
    with transaction():
        hibernation.begin(rows, "no_rule")
    assert sessions.wake(context, "s0").note == "has no enabled rule; a rule or a task wakes it"
    assert state(context, "s0") == ("hibernated", "no_rule")
    rules.create(found, ["@a"], ["@b"])
    assert state(context, "s0") == ("unplaced", "")


def test_a_session_runs_once_with_a_new_rule_before_it_hibernates(context: Context) -> None:
    rules.create(stored.find("s0"), ["@a"], ["@b"])
    sessions.hibernate(context, "s0")
    found = sessions.show(context, "s0").session
    assert (found.desired_state, found.hibernation) == ("running", "requested")


def test_a_fresh_login_does_not_hibernate_and_all_or_none_of_several_do(
    context: Context,
) -> None:
    with pytest.raises(ConflictError, match=r"added 0\.0 h ago.*hibernate_fresh_hours"):
        sessions.hibernate_all(context, ["s0", "s2"])
    assert state(context, "s0") == ("unplaced", "")
    sessions.hibernate(context, "s2", though_fresh=True)
    assert len(sessions.hibernate_all(context, ["s0", "s1"])) == 2
    assert len(sessions.wake_all(context, ["s0", "s1", "s2"])) == 3


def test_many_hibernate_at_once_and_the_fresh_ones_are_refused(context: Context) -> None:
    chosen = sessions.SessionFilter(user="alice")
    done = change(context, "hibernate", chosen)
    assert [it.state for it in done.items] == ["requested", "requested", "refused"]
    found = sessions.listing(context, sessions.SessionFilter(state="hibernated")).rows
    assert [it.name for it in found] == ["s0", "s1"]
    done = change(context, "wake", chosen)
    assert [it.state for it in done.items] == ["requested", "requested", "done"]
