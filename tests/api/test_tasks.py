"""Tasks, schedules and queues by the API: what their endpoints do."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.api import TestedApi

from afx.operations import audit_log, tasks


def submitted(api: TestedApi, **given: Any) -> Any:
    answer = api.post("/api/v1/tasks", json={"kind": "session.check", "user": "bob", **given})
    assert answer.status_code == 202, answer.text
    return answer


def test_a_task_is_submitted_followed_cancelled_and_tried_again(api: TestedApi) -> None:
    answer = submitted(api, priority="low")
    [number] = answer.json()["tasks"]
    place = f"/api/v1/tasks/{number}"
    assert answer.headers["location"] == place
    shown = api.get(place)
    found = shown.json()
    assert (found["kind"], found["session"], found["priority"]) == ("session.check", "b-1", "low")
    assert api.get(place, headers={"if-none-match": shown.headers["etag"]}).status_code == 304
    assert api.post(f"{place}/retry").status_code == 409
    assert "cancelled" in api.send("DELETE", place, params={"reason": "r"}).json()["detail"]
    assert audit_log.listing(api.context, action="task.cancel").rows[0].details["reason"] == "r"
    assert api.send("DELETE", place).status_code == 409
    assert "queued again" in api.post(f"{place}/retry").json()["detail"]
    assert api.post(f"{place}/resume").status_code == 409
    assert "paused" in api.post(f"{place}/pause").json()["detail"]
    assert api.get(place).json()["state"] == "paused"
    assert api.post(f"{place}/pause").status_code == 409
    assert "queued again" in api.post(f"{place}/resume").json()["detail"]
    [entry] = audit_log.listing(api.context, action="task.pause").rows
    assert entry.details["before"] == {"state": "queued"}
    assert [it["step"] for it in api.get(f"{place}/steps").json()] == ["submitted"]


def test_a_request_that_is_repeated_submits_once(api: TestedApi) -> None:
    headers = {"idempotency-key": "once"}
    body = {"kind": "task.probe"}
    first = api.post("/api/v1/tasks", json=body, headers=headers)
    second = api.post("/api/v1/tasks", json=body, headers=headers)
    assert first.json() == second.json()
    assert second.headers["idempotent-replayed"] == "true"


def test_an_answer_waits_for_the_end_of_a_task(
    api: TestedApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    show = tasks.show

    def ended(context: Any, number: int) -> Any:
        if tasks.show is not show:
            monkeypatch.setattr(tasks, "show", show)
            tasks.cancel(context, number)
        return show(context, number)

    monkeypatch.setattr(tasks, "show", ended)
    answer = api.post("/api/v1/tasks", json={"kind": "task.probe"}, headers={"prefer": "wait=10"})
    assert (answer.status_code, answer.json()["state"]) == (200, "cancelled")
    assert answer.headers["preference-applied"] == "wait"


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"kind": "no.kind"}, 422),
        ({"user": "nobody"}, 404),
        ({"user": "", "sessions": ["b-1", "nobody"]}, 404),
        ({"user": "bob", "every_session": True}, 422),
        ({"arguments": {"text": "\ud800"}}, 422),
        ({"arguments": {"unknown": 1}}, 422),
        ({"delay_seconds": 1e300}, 422),
        ({"priority": "highest"}, 422),
        ({"colour": "blue"}, 422),
    ],
)
def test_a_task_that_makes_no_sense_is_refused(
    api: TestedApi, changes: dict[str, Any], status: int
) -> None:
    body = json.dumps({"kind": "session.check", "user": "bob", **changes})
    headers = {"content-type": "application/json"}
    answer = api.post("/api/v1/tasks", content=body, headers=headers)
    assert answer.status_code == status, answer.text


def test_a_batch_is_listed_and_cancelled_together(api: TestedApi) -> None:
    found = submitted(api, user="", every_session=True).json()
    assert found["batch"] == found["tasks"][0] and len(found["tasks"]) == 2
    rows = api.get("/api/v1/tasks", params={"batch": found["batch"]}).json()["items"]
    assert {it["id"] for it in rows} == set(found["tasks"])
    answer = api.send("DELETE", f"/api/v1/batches/{found['batch']}")
    assert answer.json() == {"count": 2}


def test_a_schedule_is_added_paused_resumed_and_removed(api: TestedApi) -> None:
    body = {"name": "nightly", "cron": "0 3 * * *", "kind": "session.check", "user": "bob"}
    answer = api.post("/api/v1/schedules", json=body)
    assert answer.status_code == 201 and answer.json()["next_at"]
    assert api.post("/api/v1/schedules", json=body).status_code == 409
    assert api.post("/api/v1/schedules", json={**body, "cron": "x"}).status_code == 422
    path = "/api/v1/schedules/nightly"
    for verb, paused in (("pause", True), ("resume", False)):
        assert api.post(f"{path}/{verb}").status_code == 200
        [row] = api.get("/api/v1/schedules").json()["items"]
        assert row["paused"] is paused
    assert api.send("DELETE", path).status_code == 204
    assert api.send("DELETE", path).status_code == 404
    assert api.post("/api/v1/schedules/%00/pause").status_code == 404


def test_a_queue_is_purged_and_a_dry_run_purges_nothing(api: TestedApi) -> None:
    submitted(api, priority="high")
    path = "/api/v1/queues/high"
    assert api.post(f"{path}/purge", params={"dry_run": "true"}).json() == {"dry_run": True}
    assert api.get(path).json()["queued"] == 1
    assert api.post(f"{path}/purge").json() == {"count": 1}
    assert api.get(path).json()["queued"] == 0
    assert api.post(f"{path}/requeue").json() == {"count": 0}
    assert api.get("/api/v1/queues/none").status_code == 404
