"""Finding anything: by the beginning of a name, or by a number."""

from __future__ import annotations

import pytest
from support.api import TestedApi

from afx.operations import sessions, task_requests
from afx.operations.task_requests import TaskRequest


def found(api: TestedApi, text: str, token: str | None = None) -> list[tuple[str, str]]:
    answer = api.get("/api/v1/search", params={"q": text}, token=token)
    assert answer.status_code == 200, answer.text
    return [(it["kind"], it["name"]) for it in answer.json()]


@pytest.fixture(scope="module", autouse=True)
def _things(api: TestedApi) -> None:
    assert sessions.move(api.context, "a-1").control == 1
    task_requests.submit(api.context, TaskRequest(kind="session.check", user="bob"))


def test_a_number_finds_what_has_it(api: TestedApi) -> None:
    number = str(sessions.show(api.context, "a-1").session.id)
    everything = found(api, number)
    assert ("session", "a-1") in everything and ("control", "1") in everything
    assert ("task", "1") in found(api, "1")
    kinds = [kind for kind, _ in everything]
    assert kinds == sorted(kinds, key=["session", "control", "task", "worker"].index)
    assert not found(api, "999999999")


@pytest.mark.parametrize("text", ["٣", "-1", "1.0", "0", "1" * 200, "1\x00", "0x1", " "])
def test_what_is_no_number_finds_nothing_and_is_no_error(api: TestedApi, text: str) -> None:
    assert found(api, text[:100]) == []


def test_a_customer_finds_what_is_the_customer_s(api: TestedApi) -> None:
    alice = api.token("*", owner="alice")
    for text in ("1", "2", "b", "w"):
        kinds = {kind for kind, name in found(api, text, alice) if not name.startswith("a-")}
        assert kinds <= {"rule"}, text
    bob = api.token("*", owner="bob")
    assert ("task", "1") in found(api, "1", bob)
    assert ("control", "1") not in found(api, "1", api.token("task:read"))
