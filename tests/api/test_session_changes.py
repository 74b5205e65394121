"""Changes of many sessions over the API: each goes on by itself, and is made once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from support.api import TestedApi

from afx.errors import UnreachableError
from afx.operations import audit_log, session_bulk, session_changes, tokens
from models.storage import controls, sessions, users
from models.storage.sessions import NewSession

PATH = "/api/v1/session-changes"
COUNT = 45


@pytest.fixture(autouse=True)
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("afx.api.change_runner.PAUSE_SECONDS", 0.001)
    monkeypatch.setattr("afx.api.change_runner.LOOK_SECONDS", 0.01)


def change(
    api: TestedApi, user: str, key: str = "", wait: str = "wait=30", **given: Any
) -> httpx.Response:
    """Ask for a pause of a user's sessions, while the changes go on."""
    body = {"verb": "pause", "filter": {"user": user}}
    headers = {"prefer": wait} | ({"idempotency-key": key} if key else {})
    token = given.pop("token", None) or api.token("*")
    headers["authorization"] = f"Bearer {token}"

    async def asked() -> httpx.Response:
        going = asyncio.create_task(api.api.changes.run())
        try:
            return await api._client.request("POST", PATH, json=body, headers=headers, **given)
        finally:
            going.cancel()

    return api.run(asked())


def go_on(api: TestedApi, number: int) -> None:
    while session_changes.step(api.context, number):
        pass


def add(user: str, count: int = COUNT) -> set[str]:
    names = [f"{user}-{it:02d}" for it in range(count)]
    rows = [NewSession(it, "sealed", it) for it in names]
    sessions.create_many(users.create(user), rows)
    return set(names)


def paused(names: set[str]) -> set[str]:
    rows = sessions.listing(limit=1_000).rows
    return {it["name"] for it in rows if it["desired_state"] == "paused"} & names


def controls_of(names: set[str]) -> list[str]:
    rows = controls.listing(limit=1_000).rows
    return sorted(it["session"] for it in rows if it["session"] in names)


@contextmanager
def failing(monkeypatch: pytest.MonkeyPatch, at: int, error: Exception) -> Iterator[None]:
    """Let one step of changes fail."""
    real, steps = session_bulk.carry_out, []

    def sometimes(*given: Any) -> Any:
        steps.append(given)
        if len(steps) == at:
            raise error
        return real(*given)

    with monkeypatch.context() as patch:
        patch.setattr(session_bulk, "carry_out", sometimes)
        yield


def test_a_change_is_accepted_at_once_and_goes_on_by_itself(api: TestedApi) -> None:
    names = add("accepted")
    body = {"verb": "pause", "filter": {"user": "accepted"}}
    answer = api.post(PATH, json=body, params={"reason": "holiday"})
    assert answer.status_code == 202 and not paused(names)
    asked = answer.json()
    assert asked["state"] == "running" and asked["waiting"] == asked["count"] == COUNT
    place = answer.headers["location"]
    assert place == f"{PATH}/{asked['id']}"
    session_changes.step(api.context, asked["id"])
    half = api.get(place).json()
    assert (half["requested"], half["waiting"], half["state"]) == (20, 25, "running")
    assert len(paused(names)) == 20
    assert [it["state"] for it in half["items"]] == ["requested"] * 20 + ["waiting"] * 25
    go_on(api, asked["id"])
    ended = api.get(place).json()
    assert (ended["state"], ended["waiting"], ended["requested"]) == ("done", 0, COUNT)
    assert paused(names) == names == {it["session"] for it in ended["items"]}
    assert {it["control"] for it in ended["items"]} == {
        it["id"] for it in controls.listing(limit=1_000).rows if it["session"] in names
    }
    [row] = [it for it in api.get(PATH).json()["items"] if it["id"] == asked["id"]]
    assert row == {name: it for name, it in ended.items() if name != "items"}
    entry = audit_log.listing(api.context, target="session/accepted-07").rows[0]
    assert entry.details["reason"] == "holiday" and entry.actor.startswith("token:")
    assert not audit_log.verify(api.context).faults


def test_a_client_that_prefers_to_wait_gets_what_came_of_each(api: TestedApi) -> None:
    names = add("awaited")
    answer = change(api, "awaited", "s-1")
    assert answer.status_code == 200 and answer.headers["preference-applied"] == "wait"
    assert {it["session"] for it in answer.json()["items"]} == names == paused(names)
    again = change(api, "awaited", "s-1")
    assert again.json() == answer.json() and controls_of(names) == sorted(names)
    assert change(api, "awaited", "s-1", wait="").headers["idempotent-replayed"] == "true"


def test_a_change_goes_on_where_it_was_when_a_server_was_away(
    api: TestedApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = add("outage")
    with failing(monkeypatch, 3, UnreachableError("The database is away; try again.")):
        answer = change(api, "outage")
    assert answer.json()["state"] == "done" and answer.json()["requested"] == COUNT
    assert paused(names) == names and controls_of(names) == sorted(names)


def test_a_change_that_fails_in_an_unforeseen_way_ends(
    api: TestedApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = add("unforeseen")
    with failing(monkeypatch, 2, ZeroDivisionError()):
        found = change(api, "unforeseen").json()
    assert (found["state"], found["requested"], found["waiting"]) == ("failed", 20, 25)
    assert len(paused(names)) == 20 and "log" in found["note"]
    assert [it["state"] for it in found["items"]][20:] == ["cancelled"] * 25


def test_two_processes_that_make_steps_change_each_session_once(api: TestedApi) -> None:
    names = add("twice")
    body = {"verb": "pause", "filter": {"user": "twice"}}
    made = api.post(PATH, json=body).json()["id"]

    async def both() -> None:
        threads = api.api.threads

        def steps() -> None:
            go_on(api, made)

        await asyncio.gather(threads.change(steps), threads.long(steps))

    api.run(both())
    assert controls_of(names) == sorted(names)
    assert api.get(f"{PATH}/{made}").json()["requested"] == COUNT


def test_a_change_that_is_cancelled_leaves_the_rest_as_it_is(api: TestedApi) -> None:
    names = add("cancelled")
    body = {"verb": "pause", "filter": {"user": "cancelled"}}
    place = api.post(PATH, json=body).headers["location"]
    number = int(place.rpartition("/")[2])
    session_changes.step(api.context, number)
    assert api.send("DELETE", place, params={"dry_run": "true"}).status_code == 200
    assert api.get(place).json()["state"] == "running"
    answer = api.send("DELETE", place)
    assert "25 of 45 sessions stay" in answer.json()["detail"]
    assert not session_changes.step(api.context, number)
    found = api.get(place).json()
    assert (found["state"], found["waiting"], len(paused(names))) == ("cancelled", 25, 20)
    assert "cancelled" in found["note"] and found["finished_at"]
    assert api.send("DELETE", place).status_code == 409
    assert audit_log.listing(api.context, target=f"session-change/{number}").rows


def test_a_change_ends_with_the_token_that_asked_for_it(api: TestedApi) -> None:
    names = add("revoked")
    token = tokens.create(api.context, "short", scopes=["session:*"]).token
    api.api.credentials.forget()
    body = {"verb": "pause", "filter": {"user": "revoked"}}
    number = api.post(PATH, json=body, token=token).json()["id"]
    session_changes.step(api.context, number)
    tokens.revoke(api.context, "short")
    assert not session_changes.step(api.context, number)
    found = session_changes.show(api.context, number)
    assert (found.state, found.waiting) == ("cancelled", 25) and "token" in found.note
    assert len(paused(names)) == 20


def test_a_customer_sees_and_makes_changes_of_its_own_only(api: TestedApi) -> None:
    add("owner", 3)
    add("other", 3)
    own = api.token("session:*", owner="owner")
    body = {"verb": "pause", "everything": True}
    place = api.post(PATH, json=body, token=own).headers["location"]
    go_on(api, int(place.rpartition("/")[2]))
    found = api.get(place, token=own).json()
    assert {it["session"] for it in found["items"]} == {f"owner-0{it}" for it in range(3)}
    foreign = api.token("session:*", owner="other")
    for method in ("GET", "DELETE"):
        assert api.send(method, place, token=foreign).status_code == 404
    assert api.get(PATH, token=foreign).json()["items"] == []
    assert [it["id"] for it in api.get(PATH, token=own).json()["items"]] == [found["id"]]


def test_others_change_something_while_many_sessions_are_changed(api: TestedApi) -> None:
    add("slowly")

    async def both() -> list[str]:
        client, ended = api._client, []
        headers = {"authorization": f"Bearer {api.token('*')}", "prefer": "wait=30"}

        async def send(name: str, path: str, body: Any) -> None:
            answer = await client.request("POST", path, json=body, headers=headers)
            assert answer.status_code < 300
            ended.append(name)

        going = asyncio.create_task(api.api.changes.run())
        bulk = {"verb": "pause", "filter": {"user": "slowly"}}
        many = asyncio.create_task(send("many", PATH, bulk))
        await asyncio.sleep(0)
        await send("one", "/api/v1/users", {"name": "meanwhile"})
        await many
        going.cancel()
        return ended

    assert api.run(both()) == ["one", "many"]


def test_a_key_of_another_change_is_refused(api: TestedApi) -> None:
    add("keyed")
    assert change(api, "keyed", "s-3").status_code == 200
    other = change(api, "twice", "s-3")
    assert (other.status_code, other.json()["type"]) == (422, "urn:afx:problem:key-reused")


def test_a_dry_run_with_a_key_stores_nothing(api: TestedApi) -> None:
    names = add("dry")
    before = api.get(PATH).json()
    dry = change(api, "dry", "s-4", params={"dry_run": "true"})
    assert dry.status_code == 200 and dry.json()["dry_run"] and dry.json()["id"] is None
    assert len(dry.json()["items"]) == COUNT and not paused(names)
    assert api.get(PATH).json() == before
    assert len(change(api, "dry", "s-4").json()["items"]) == COUNT and paused(names) == names
