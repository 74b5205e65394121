"""Changes of many sessions at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.databases import prepare

from afx.app import ProcessServers
from afx.config import load
from afx.errors import ForbiddenError, UsageError
from afx.operations import audit_log, controls, session_bulk
from afx.operations.context import Actor, Context
from afx.operations.sessions import SessionFilter
from models.storage import assignments, cluster, sessions, users
from models.storage.sessions import NewSession

ALICE = SessionFilter(user="alice")


@pytest.fixture
def context(home: Path) -> Iterator[Context]:
    prepare(home)
    with ProcessServers(load(home=home)) as servers:
        servers.open_database(create=True)
        servers.vault()
        for user, count in (("alice", 5), ("bob", 2)):
            owner = users.create(user)
            rows = [NewSession(f"{user}-{it}", "sealed", f"{user}-{it}") for it in range(count)]
            sessions.create_many(owner, rows)
        sessions.set_requires(sessions.find("alice-1"), {"region": "eu", "kind": "a"})
        sessions.set_requires(sessions.find("bob-1"), {"xregion": "eu", "region": "eu2"})
        yield servers.context(Actor("test"))


def change(context: Context, verb: Any, *chosen: Any, **given: Any) -> session_bulk.BulkResult:
    return session_bulk.change(context, session_bulk.plan(context, verb, *chosen, **given))


def paused() -> set[str]:
    rows = sessions.listing().rows
    return {it["name"] for it in rows if it["desired_state"] == "paused"}


def test_all_sessions_of_a_filter_are_changed_each_with_control_and_entry(
    context: Context,
) -> None:
    done = change(context, "pause", ALICE)
    assert (done.matched, done.next, done.dry_run) == (5, None, False)
    assert [(it.session, it.state) for it in done.items] == [
        (f"alice-{it}", "requested") for it in range(5)
    ]
    assert paused() == {f"alice-{it}" for it in range(5)}
    assert {it.id for it in controls.listing(context).rows} == {it.control for it in done.items}
    assert len(audit_log.listing(context, action="session.pause").rows) == 5
    assert not audit_log.verify(context).faults


def test_a_dry_run_tells_how_many_and_changes_nothing(context: Context) -> None:
    dry = context.servers.context(Actor("test"), dry_run=True)  # type: ignore[attr-defined]
    done = change(dry, "remove", ALICE)
    assert (done.matched, len(done.items), done.dry_run) == (5, 5, True)
    assert {it.control for it in done.items} == {None}
    assert len(sessions.listing().rows) == 7 and not controls.listing(context).rows
    assert not audit_log.listing(context).rows


def test_a_change_goes_on_behind_its_last_session(context: Context) -> None:
    first = change(context, "pause", ALICE, limit=3)
    assert (first.matched, first.next) == (5, "alice-2")
    second = change(context, "pause", ALICE, limit=3, after=first.next)
    assert [it.session for it in second.items] == ["alice-3", "alice-4"] and second.next is None


def test_what_is_refused_does_not_keep_the_others(context: Context) -> None:
    names = ["alice-0", "nobody", "alice-1", "alice-0", "alice"]
    done = change(context, "pause", names=names)
    assert [(it.session, it.state) for it in done.items] == [
        ("alice-0", "requested"),
        ("nobody", "refused"),
        ("alice-1", "requested"),
        ("alice", "refused"),
    ]
    again = change(context, "pause", names=["alice-0"])
    assert again.items[0].state == "done" and "already paused" in again.items[0].note
    assert paused() == {"alice-0", "alice-1"}
    assert not audit_log.verify(context).faults


def test_sessions_are_changed_in_the_order_of_their_ids_and_told_in_that_of_their_names(
    context: Context,
) -> None:
    owner = users.create("carol")
    for name in ("c-2", "c-1", "c-3"):
        sessions.create_many(owner, [NewSession(name, "sealed", name)])
    third = str(sessions.find("c-3").id)
    done = change(context, "pause", names=["c-1", third, "c-2"])
    assert [it.session for it in done.items] == ["c-1", "c-3", "c-2"]
    by_control = sorted(done.items, key=lambda it: it.control or 0)
    assert [it.session for it in by_control] == ["c-2", "c-1", "c-3"]


def test_a_filter_finds_those_that_require_a_label(context: Context) -> None:
    for label, found in (("region=eu", 1), ("kind=a", 1), ("region=e", 0), ("xregion=eu", 1)):
        assert session_bulk.preview(context, SessionFilter(label=label)).matched == found, label
    assert session_bulk.preview(context, SessionFilter(label="region=eu")).first == ("alice-1",)


def test_the_sessions_of_a_node_are_moved_away_together(context: Context) -> None:
    cluster.begin_generation(1)
    with assignments_of("w1", ["alice-0", "bob-0"]):
        done = change(context, "move", SessionFilter(node="w1"))
    assert [(it.session, it.state) for it in done.items] == [
        ("alice-0", "requested"),
        ("bob-0", "requested"),
    ]


def assignments_of(node: str, names: list[str]) -> Any:
    from contextlib import nullcontext

    from models.tables import SessionAssignment

    for number, name in enumerate(names):
        SessionAssignment.create(
            session=sessions.find(name), worker=node, incarnation="i", epoch=number, state="running"
        )
    assert len(assignments.active()) == len(names)
    return nullcontext()


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"chosen": SessionFilter()},
        {"chosen": ALICE, "names": ["alice-0"]},
        {"chosen": ALICE, "everything": True},
        {"chosen": ALICE, "limit": 0},
        {"chosen": ALICE, "limit": 1_001},
        {"names": ["a", "b"], "limit": 1},
        {"chosen": ALICE, "node": "w1"},
        {"chosen": SessionFilter(state="no state")},
    ],
)
def test_a_change_that_is_not_clear_is_refused(context: Context, given: Any) -> None:
    with pytest.raises(UsageError):
        change(context, "pause", **given)
    assert not paused()


def test_all_sessions_are_changed_when_that_is_said(context: Context) -> None:
    assert change(context, "pause", everything=True).matched == 7


def test_a_customer_changes_its_own_sessions_only(context: Context) -> None:
    actor = Actor("token:x", frozenset(("session:*",)), "alice")
    own = context.servers.context(actor)  # type: ignore[attr-defined]
    assert change(own, "pause", everything=True).matched == 5
    assert paused() == {f"alice-{it}" for it in range(5)}
    assert change(own, "pause", names=["bob-0"]).items[0].state == "refused"
    with pytest.raises(ForbiddenError):
        change(own, "pause", SessionFilter(user="bob"))
    assert session_bulk.preview(own, SessionFilter(prefix="bob")).matched == 0
