"""Controls, scaling events, tokens: their steps, on both databases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from afx.errors import UsageError
from models import base, tables
from models.storage import controls, scaling, sessions, tokens, users
from models.storage.control_subjects import (
    Control,
    CoordinatorsSubject,
    NodeSubject,
    SessionSubject,
)
from models.storage.sessions import NewSession
from models.transitions import CONTROL, TransitionError

# --- controls ---------------------------------------------------------------------------


def request(kind: str, node: str) -> Control:
    return controls.request(kind=kind, subject=NodeSubject(node), actor="me")


CONTROL_STEPS: dict[str, Callable[[int], object]] = {
    "sent": lambda it: controls.mark_sent(it, incarnation="one"),
    "acknowledged": lambda it: controls.mark_acknowledged(it),
    "done": lambda it: controls.mark_done(it, "well"),
    "failed": lambda it: controls.mark_failed(it, "why"),
    "cancelled": lambda it: controls.cancel(it, "why"),
}


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.sampled_from(sorted(CONTROL_STEPS)), max_size=6))
def test_no_order_of_steps_leads_a_control_where_it_may_not_go(
    database: Any, steps: list[str]
) -> None:
    tables.WorkerControl.delete().execute()
    assert controls.newest() == 0
    number = request("drain", "w1").id
    assert controls.newest() == number
    for step in steps:
        before = controls.get(number)
        try:
            CONTROL_STEPS[step](number)
        except TransitionError:
            assert controls.get(number) == before
        else:
            assert step in CONTROL[before["state"]]
            assert controls.get(number)["state"] == step


def test_the_same_control_is_not_requested_twice_at_a_time(database: Any) -> None:
    first = request("drain", "w1")
    with pytest.raises(UsageError, match=f"control {first.id}"):
        request("drain", "w1")
    request("drain", "w2")
    controls.mark_done(first.id)
    request("drain", "w1")
    with pytest.raises(UsageError, match="no control"):
        request("explode", "w1")


def test_a_subject_has_only_its_own_controls(database: Any) -> None:
    for kind, subject in [
        ("pause", NodeSubject("w1")),
        ("drain", SessionSubject(1)),
        ("stop", CoordinatorsSubject()),
    ]:
        with pytest.raises(UsageError, match="no control"):
            controls.request(kind=kind, subject=subject, actor="me")


def test_subjects_are_stored_unchanged_and_distinguished(database: Any) -> None:
    [session_id] = sessions.create_many(users.create("alice"), [NewSession("a", "x")])
    subjects = [NodeSubject("w1"), CoordinatorsSubject()]
    for subject in subjects:
        controls.request(kind="recycle", subject=subject, actor="me")
    move = controls.request(
        kind="move", subject=SessionSubject(session_id), actor="me", target="w2"
    )
    assert [it.subject for it in controls.open_ones()] == [*subjects, SessionSubject(session_id)]
    assert [it.target for it in controls.open_ones()] == ["", "", "w2"]
    assert controls.find_open(kind="recycle", subject=NodeSubject("w2")) is None
    found = controls.find_open(kind="recycle", subject=NodeSubject("w1"))
    assert found is not None and found.subject == NodeSubject("w1")
    controls.mark_sent(move.id, target="w3")
    assert controls.open_ones()[-1].target == "w3"


def test_a_control_outlives_its_session_and_is_not_confused_with_another(database: Any) -> None:
    [session_id] = sessions.create_many(users.create("alice"), [NewSession("a", "x")])
    controls.request(kind="remove", subject=SessionSubject(session_id), actor="me")
    tables.Session.delete().execute()
    (control,) = controls.open_ones()
    assert control.subject == SessionSubject(None)


def test_a_control_belongs_to_the_user_of_its_session(database: Any) -> None:
    [session] = sessions.create_many(users.create("alice"), [NewSession("a", "x")])
    paused = controls.request(kind="pause", subject=SessionSubject(session), actor="me")
    drained = controls.request(kind="drain", subject=NodeSubject("w1"), actor="me")
    assert controls.owner(paused.id) == "alice"
    assert controls.owner(drained.id) == ""


def test_an_unfinished_control_may_be_forced(database: Any) -> None:
    number = request("recycle", "w1").id
    assert not controls.get(number)["forced"]
    controls.force(number, "node does not answer")
    control = controls.get(number)
    assert (control["forced"], control["note"]) == (True, "node does not answer")
    controls.mark_done(number)
    with pytest.raises(UsageError, match="finished"):
        controls.force(number, "again")


def test_controls_are_listed_by_node_and_by_whether_they_are_open(database: Any) -> None:
    first = request("drain", "w1").id
    second = request("stop", "w1").id
    other = request("stop", "w2").id
    controls.set_note(first, "3 left")
    controls.mark_done(first)
    controls.set_note(first, "too late")
    assert controls.get(first)["note"] == ""
    assert [it["id"] for it in controls.listing(worker="w1").rows] == [second, first]
    assert [it["id"] for it in controls.listing(only_open=True).rows] == [other, second]
    assert {it["id"] for it in controls.of_ids([first, other, 9_999])} == {first, other}
    assert controls.of_ids([]) == []
    assert [it.id for it in controls.open_ones()] == [second, other]
    with base.transaction():
        assert controls.prune(base.utc_now(), 9) == 1
    with pytest.raises(UsageError, match="afx control list"):
        controls.get(first)


# --- scaling events and tokens ------------------------------------------------------------


def test_a_recommendation_is_recorded_when_it_changes(database: Any) -> None:
    def record(decision: str, desired: int) -> bool:
        return scaling.record(decision, current=2, desired=desired, reason="RAM", figures={"a": 1})

    assert [record("out", 3), record("out", 3), record("out", 4), record("hold", 4)] == [
        True,
        False,
        True,
        True,
    ]
    assert [(it["decision"], it["desired"]) for it in scaling.listing().rows] == [
        ("hold", 4),
        ("out", 4),
        ("out", 3),
    ]
    latest = scaling.latest()
    assert latest and latest["figures"] == {"a": 1}


def test_a_token_is_valid_until_it_expires_or_is_revoked(database: Any) -> None:
    now = base.utc_now()
    new = tokens.NewToken("ci", "1", "a" * 64, ["read"], None, now + timedelta(days=1))
    ci = tokens.create(new)
    expired = replace(new, name="old", accessor="2", digest="b" * 64)
    tokens.create(replace(expired, expires_at=now - timedelta(seconds=1)))
    [token] = tokens.valid()
    assert (token["id"], token["scopes"], token["owner"]) == (ci, ["read"], None)
    tokens.note_used([(ci, base.utc_now())])
    tokens.revoke(ci)
    assert tokens.valid() == []
    row = tokens.listing().rows[0]
    assert row["last_used_at"] >= now and row["revoked_at"] and "digest" not in row
    with pytest.raises(UsageError):
        tokens.create(replace(new, accessor="3", digest="d" * 64))
    with pytest.raises(UsageError):
        tokens.find("nobody")


def test_a_token_goes_with_the_user_who_owns_it(database: Any) -> None:
    user = users.create("alice")
    until = base.utc_now() + timedelta(days=1)
    tokens.create(tokens.NewToken("hers", "1", "a" * 64, ["*"], user, until))
    assert [it["owner"] for it in tokens.valid()] == ["alice"]
    users.remove(user)
    assert tokens.valid() == []


def test_what_was_requested_of_a_node_s_processes_in_the_last_day_is_found(database: Any) -> None:
    made = {it: request("replace", it).id for it in ("w1", "w1.2", "W1", "w10", "w2")}
    tables.WorkerControl.update(created_at=base.utc_now() - timedelta(hours=1)).where(
        tables.WorkerControl.id == made["w1.2"]
    ).execute()
    request("recycle", "w1")

    def ages(**changes: Any) -> list[float]:
        values = {"kinds": ("replace",), "actor": "me", "within_seconds": 86_400.0} | changes
        return sorted(controls.ages("w1", **values))

    now, hour = ages()
    assert 0 <= now < 600
    assert 3600 <= hour < 4200
    assert len(ages(within_seconds=3000)) == 1
    assert len(ages(kinds=("replace", "recycle"))) == 3
    assert ages(actor="coordinator") == []
