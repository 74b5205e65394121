"""Changes of many sessions over the API: in steps, and once for each key."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from support.api import TestedApi

from afx.errors import UnreachableError
from afx.operations import audit_log, session_bulk
from models.storage import controls, sessions, users
from models.storage.sessions import NewSession

PATH = "/api/v1/session-changes"
COUNT = 45


def change(api: TestedApi, user: str, key: str, **given: Any) -> httpx.Response:
    body = {"verb": "pause", "filter": {"user": user}}
    return api.post(PATH, json=body, headers={"idempotency-key": key}, **given)


def add(user: str) -> set[str]:
    names = [f"{user}-{it:02d}" for it in range(COUNT)]
    rows = [NewSession(it, "sealed", it) for it in names]
    sessions.create_many(users.create(user), rows)
    return set(names)


def paused(names: set[str]) -> set[str]:
    rows = sessions.listing(limit=1_000).rows
    return {it["name"] for it in rows if it["desired_state"] == "paused"} & names


def controls_of(names: set[str]) -> list[str]:
    rows = controls.listing(limit=1_000).rows
    return sorted(it["session"] for it in rows if it["session"] in names)


def test_a_change_with_a_key_keeps_the_database_for_a_step_only_and_goes_on_after_a_failure(
    api: TestedApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = add("stepwise")
    real, steps = session_bulk.carry_out, []

    def failing(context: Any, plan: Any, done: int) -> Any:
        steps.append(done)
        if len(steps) == 3:
            raise UnreachableError("The database is away; try again.")
        return real(context, plan, done)

    monkeypatch.setattr(session_bulk, "carry_out", failing)
    assert change(api, "stepwise", "s-1").status_code == 503
    assert len(paused(names)) == 40
    answer = change(api, "stepwise", "s-1")
    assert steps == [0, 20, 40, 40]
    items = answer.json()["items"]
    assert {it["session"] for it in items} == names
    assert {it["state"] for it in items} == {"requested"}
    assert paused(names) == names and controls_of(names) == sorted(names)
    again = change(api, "stepwise", "s-1")
    assert again.json() == answer.json() and again.headers["idempotent-replayed"] == "true"
    assert not audit_log.verify(api.context).faults


def test_two_requests_with_one_key_take_turns_and_get_one_answer(api: TestedApi) -> None:
    names = add("twice")

    async def both() -> list[httpx.Response]:
        body = {"verb": "pause", "filter": {"user": "twice"}}
        headers = {"idempotency-key": "s-2", "authorization": f"Bearer {api.token('*')}"}
        client = api._client
        return await asyncio.gather(
            *(client.request("POST", PATH, json=body, headers=headers) for _ in "ab")
        )

    first, second = api.run(both())
    assert first.json() == second.json() and len(first.json()["items"]) == COUNT
    assert controls_of(names) == sorted(names)


def test_others_change_something_while_many_sessions_are_changed(api: TestedApi) -> None:
    add("slowly")

    async def both() -> list[str]:
        client, ended = api._client, []
        headers = {"authorization": f"Bearer {api.token('*')}"}

        async def send(name: str, path: str, body: Any) -> None:
            answer = await client.request("POST", path, json=body, headers=headers)
            assert answer.status_code < 300
            ended.append(name)

        bulk = {"verb": "pause", "filter": {"user": "slowly"}}
        many = asyncio.create_task(send("many", PATH, bulk))
        await asyncio.sleep(0)
        await send("one", "/api/v1/users", {"name": "meanwhile"})
        await many
        return ended

    assert api.run(both()) == ["one", "many"]


def test_a_key_of_another_change_is_refused(api: TestedApi) -> None:
    add("keyed")
    assert change(api, "keyed", "s-3").status_code == 200
    other = change(api, "twice", "s-3")
    assert (other.status_code, other.json()["type"]) == (422, "urn:afx:problem:key-reused")


def test_a_dry_run_with_a_key_stores_nothing(api: TestedApi) -> None:
    names = add("dry")
    dry = change(api, "dry", "s-4", params={"dry_run": "true"})
    assert dry.json()["dry_run"] and len(dry.json()["items"]) == COUNT and not paused(names)
    assert len(change(api, "dry", "s-4").json()["items"]) == COUNT and paused(names) == names
