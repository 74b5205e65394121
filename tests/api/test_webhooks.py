"""Webhooks over REST and in the dashboard: secrets shown once, customers' own, deliveries."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from support.api import TestedApi
from support.dashboard import act, said, signed_in

from afx.operations import audit_log, webhooks
from models.storage import webhook_deliveries
from models.storage.webhooks import record_event
from models.webhook_tables import EventKind, Webhook

HOOKS = "/api/v1/webhooks"
URL = "https://example.org/afx"


def add(api: TestedApi, name: str, **given: Any) -> dict[str, Any]:
    answer = api.post(HOOKS, json={"name": name, "url": URL, **given})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"{HOOKS}/{made['id']}"
    return made


def test_a_webhook_shows_its_secret_once(api: TestedApi) -> None:
    made = add(api, "once", kinds=["worker.lost"])
    assert made["secret"].startswith("whsec_")
    stored = Webhook.get(Webhook.name == "once").secret
    shown = [
        api.get(f"{HOOKS}/once").text,
        api.get(HOOKS).text,
        json.dumps([str(it) for it in audit_log.listing(api.context, target="webhook/once").rows]),
    ]
    assert not any(made["secret"] in it or stored in it for it in shown)
    assert api.get(f"{HOOKS}/once").json()["kinds"] == ["worker.lost"]
    new = api.post(f"{HOOKS}/once/rotate").json()["secret"]
    assert new.startswith("whsec_") and new != made["secret"]


@pytest.mark.parametrize(
    "body",
    [
        {"url": "https://127.0.0.1/"},
        {"url": "https://[::1]/"},
        {"url": "http://169.254.169.254/latest/meta-data"},
        {"url": "file:///etc/passwd"},
        {"url": "https://user:secret@example.org/"},
        {"kinds": ["no.kind"]},
        {"kinds": ["webhook.test"]},
        {"owner": "nobody"},
        {"name": ""},
        {"unknown": 1},
    ],
)
def test_what_no_webhook_may_be_is_refused(api: TestedApi, body: dict[str, Any]) -> None:
    answer = api.post(HOOKS, json={"name": "bad", "url": URL, **body})
    assert answer.status_code in (404, 422), answer.text
    assert "secret@" not in answer.text
    assert api.get(f"{HOOKS}/bad").status_code == 404


def test_a_secret_is_not_stored_with_an_idempotency_key(api: TestedApi) -> None:
    answer = api.post(HOOKS, json={"name": "k", "url": URL}, headers={"idempotency-key": "k"})
    assert answer.status_code == 422


def test_a_customer_has_webhooks_of_its_own(api: TestedApi) -> None:
    token = api.token("webhook:*", owner="alice")
    add(api, "of-bob", owner="bob")
    answer = api.post(HOOKS, json={"name": "of-alice", "url": URL}, token=token)
    assert answer.status_code == 201
    rows = api.get(HOOKS, token=token).json()["items"]
    assert [(it["name"], it["owner"]) for it in rows] == [("of-alice", "alice")]
    body = {"name": "x", "url": URL, "owner": "bob"}
    assert api.post(HOOKS, json=body, token=token).status_code == 403
    record_event(EventKind.LOGIN_NEEDED, "session/b-1", None)
    made = webhooks.test(api.context, "of-bob")
    assert api.get(f"/api/v1/webhook-deliveries/{made}", token=token).status_code == 404
    redelivered = api.post(f"/api/v1/webhook-deliveries/{made}/redeliver", token=token)
    assert redelivered.status_code == 404
    assert api.get(f"{HOOKS}/of-bob/deliveries", token=token).status_code == 404


def test_deliveries_are_listed_and_sent_again(api: TestedApi) -> None:
    add(api, "log")
    made = [api.post(f"{HOOKS}/log/test").json()["delivery"] for _ in range(3)]
    [due] = webhook_deliveries.load([made[0]], api_now())
    gone = webhook_deliveries.Attempted(due=due, status=500, error="the answer was 500")
    webhook_deliveries.note_attempts([gone], api_now() - api_now())
    Webhook.update(state="active").execute()
    page = api.get(f"{HOOKS}/log/deliveries", params={"limit": 2}).json()
    assert [it["id"] for it in page["items"]] == made[:0:-1]
    rest = api.get(f"{HOOKS}/log/deliveries", params={"limit": 2, "cursor": page["next"]}).json()
    assert [(it["id"], it["state"], it["status"]) for it in rest["items"]] == [
        (made[0], "failed", 500)
    ]
    failed = api.get(f"{HOOKS}/log/deliveries", params={"state": "failed"}).json()["items"]
    assert made[0] in [it["id"] for it in failed]
    again = api.post(f"/api/v1/webhook-deliveries/{made[0]}/redeliver")
    assert again.json() == {"delivery": made[0]}
    row = api.get(f"/api/v1/webhook-deliveries/{made[0]}").json()
    assert (row["state"], row["attempts"]) == ("waiting", 0)


def api_now() -> Any:
    from models.base import utc_now

    return utc_now()


def test_a_suspended_webhook_is_resumed_before_anything_is_sent(api: TestedApi) -> None:
    add(api, "off")
    made = api.post(f"{HOOKS}/off/test").json()["delivery"]
    Webhook.update(state="suspended").where(Webhook.name == "off").execute()
    assert api.post(f"{HOOKS}/off/test").status_code == 409
    assert api.post(f"/api/v1/webhook-deliveries/{made}/redeliver").status_code == 409
    assert api.post(f"{HOOKS}/off/resume").json() == {"detail": "webhook off is active"}
    assert api.post(f"{HOOKS}/off/test").status_code == 200


def test_the_dashboard_adds_tests_rotates_and_removes_a_webhook(api: TestedApi) -> None:
    browser = signed_in(api, api.token("*"))
    answer = act(api, browser, "webhook.add", name="page", url=URL, kinds="worker.lost")
    place = answer.headers["location"]
    first = api.get(place, headers=browser, token="").text
    assert re.search(r"whsec_\w+", first)
    assert "whsec_" not in api.get(place, headers=browser, token="").text
    assert "waits to be sent" in said(
        api, browser, act(api, browser, "webhook.test", target="page")
    )
    [row] = webhooks.deliveries(api.context, "page").rows
    view = api.get("/webhooks/page", headers=browser, token="").text
    assert "webhook.test" in view and "/actions/delivery.redeliver" not in view
    answer = act(api, browser, "delivery.redeliver", target=str(row.id))
    assert "waits to be sent" in said(api, browser, answer)
    assert "number" in said(api, browser, act(api, browser, "delivery.redeliver", target="x"))
    assert "whsec_" in said(api, browser, act(api, browser, "webhook.rotate", target="page"))
    assert act(api, browser, "webhook.remove", target="page").status_code == 422
    answer = act(api, browser, "webhook.remove", target="page", typed="page")
    assert "is removed" in said(api, browser, answer)
    assert api.get(f"{HOOKS}/page").status_code == 404


def test_a_customer_sees_its_own_webhooks_in_the_dashboard(api: TestedApi) -> None:
    add(api, "not-yours", owner="bob")
    browser = signed_in(api, api.token("*", owner="alice"))
    page = api.get("/webhooks", headers=browser, token="")
    assert page.status_code == 200 and "not-yours" not in page.text
    assert api.get("/webhooks/not-yours", headers=browser, token="").status_code == 404
