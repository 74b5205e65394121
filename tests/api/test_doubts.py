"""Doubts of rules on the dashboard."""

from __future__ import annotations

from html import unescape

from support.api import TestedApi
from support.dashboard import act, said, signed_in

from afx.cluster import keys
from models.base import execute


def test_the_doubts_of_a_rule_are_shown_and_decided_one_by_one(api: TestedApi) -> None:
    browser = signed_in(api, api.token("*"))
    rule, to, source = 1, -1_001_000_000_002, -1_001_000_000_001
    client = api.servers.redis()
    lane = {"doubt:5": 999, "of:5": f"{source}:12:7:1700000000"}
    client.hset(keys.pool(rule, to), mapping=lane)
    client.sadd(keys.pool_lanes(rule), to)
    execute("UPDATE rules SET trouble = 'session 999 may have sent' WHERE id = ?", rule)
    try:
        page = unescape(api.get(f"/rules/{rule}", headers=browser, token="").text)
        assert "session 999" in page and "/actions/doubt.not_sent" in page
        target = f"{rule}:{to}:{source}:12"
        form = {"target": target, "back": f"/rules/{rule}"}
        wrong = act(api, browser, "doubt.sent", sent="x", **form)
        assert "is not a number" in said(api, browser, wrong)
        done = act(api, browser, "doubt.sent", sent="345", **form)
        assert "Message 12 of rule" in said(api, browser, done)
        assert client.hget(keys.pool(rule, to), "verdict:5") == "sent:345"
        done = act(api, browser, "doubt.not_sent", **form)
        assert "is decided" in said(api, browser, done)
        assert client.hget(keys.pool(rule, to), "verdict:5") == "not-sent"
        # A message may be in doubt twice, when it was tried again as another send.
        again = {"doubt:6": 999, "of:6": f"{source}:12:7:1700000009"}
        client.hset(keys.pool(rule, to), mapping=again)
        done = act(api, browser, "doubt.not_sent", **form)
        assert "is decided" in said(api, browser, done)
        client.hdel(keys.pool(rule, to), *again, "verdict:6")
        answer = act(api, browser, "doubt.sent", target="x", sent="1")
        assert answer.status_code != 200 and client.hlen(keys.pool(rule, to)) == 3
    finally:
        client.delete(keys.pool(rule, to), keys.pool_lanes(rule))
        execute("UPDATE rules SET trouble = '' WHERE id = ?", rule)
