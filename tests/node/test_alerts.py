"""A rule with ``alerts`` tells of messages, and forwards what it would without them."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from support.following import settled
from support.sandbox import SandboxHarness, run_scenario, until
from support.sessions import one_rule, say, texts

from afx.cluster.reports import AlertRaised, decode, encode
from afx.forwarding.options import compile_options
from afx.forwarding.pipeline import Incoming
from afx.forwarding.rules import Route
from afx.node.alerts import AlertOf, Alerts
from afx.node.commit_reports import report_of
from afx.sandbox.judge.flow import edit

A, TO = -1_000_000_000_005, -1_000_000_000_007
OPTIONS: dict[str, Any] = {"alerts": {"when": {"words": ["acme"]}, "per_hour": 2}}
ROUTE = Route(1, TO, "copy", options=compile_options(OPTIONS))


class Bench:
    def __init__(self, *routes: Route) -> None:
        self.now = 7_200.0
        self.progressed = 0
        self.alerts = Alerts(lambda: self.now, self._note)
        self.routes = routes or (ROUTE,)
        self.alerts.use_routes({A: self.routes})

    def _note(self) -> None:
        self.progressed += 1

    def raised(self, number: int, text: str, album: int | None = None) -> list[tuple[int, int]]:
        raw = SimpleNamespace(grouped_id=album, media=None)
        self.alerts.note(Incoming(A, number, text, (), False, raw), self.routes)
        found = self.alerts.take()
        self.alerts.note_committed()
        return [(it.rule, it.left_out) for it in found]


def test_a_message_that_meets_the_condition_is_told_of_once_for_each_rule() -> None:
    other = replace(ROUTE, rule=2)
    it = Bench(ROUTE, replace(ROUTE, destination=-9), other, Route(3, TO, "copy"))
    assert it.raised(1, "Acme falls") == [(1, 0), (2, 0)]
    assert it.progressed == 2
    assert not it.raised(2, "something else")


def test_the_same_content_raises_one_alert_in_an_hour_and_an_album_one() -> None:
    it = Bench()
    assert it.raised(1, "Acme falls") and not it.raised(2, "Acme  falls")
    it.now += 3_600
    assert it.raised(3, "Acme falls")
    it.now += 3_600
    assert it.raised(4, "acme, first", album=7) and not it.raised(5, "acme, second", album=7)


def test_what_is_more_in_an_hour_is_counted() -> None:
    it = Bench()
    for number, wanted in enumerate(([(1, 0)], [(1, 0)], [], []), 1):
        assert it.raised(number, f"acme {number}") == wanted
    it.now += 3_600
    assert it.raised(9, "acme 9") == [(1, 2)]
    assert it.raised(10, "acme 10") == [(1, 0)]


def test_memory_is_bounded() -> None:
    it = Bench()
    for number in range(1, 1_200):
        it.raised(number, f"acme {number}")
    assert it.alerts._known is not None and len(it.alerts._known) <= 512
    assert len(it.alerts._kept) <= 64


def test_what_could_not_be_stored_is_told_later_and_after_a_loss_once_more() -> None:
    it = Bench()
    message = Incoming(A, 1, "acme", (), False, None)
    it.alerts.note(message, it.routes)
    first = it.alerts.take()
    it.alerts.put_back()
    assert it.alerts.take() == first and len(first) == 1
    it.alerts.note_committed()
    assert not it.alerts.take()
    it.alerts.mark_all()
    assert it.alerts.take() == first


def test_a_loss_repeats_no_alerts_of_long_ago() -> None:
    it = Bench()
    assert it.raised(1, "acme 1")
    it.now += 3_601
    assert it.raised(2, "acme 2")
    it.alerts.mark_all()
    assert [alert.message for alert in it.alerts.take()] == [2]


def test_a_condition_that_fails_holds_up_nothing() -> None:
    def fail(_: Any) -> bool:
        raise RuntimeError("broken")

    alerts = ROUTE.options.alerts
    assert alerts is not None
    options = replace(ROUTE.options, alerts=replace(alerts, test=fail))
    assert not Bench(replace(ROUTE, options=options)).raised(1, "acme")


def test_a_hidden_message_is_told_of_and_edits_are_not() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        more = {"options": OPTIONS, "filter": {"contains": ["news"]}}
        session = harness.session(account, (source, to, "copy", more))
        await session.start()
        say(sandbox, source, "acme, hidden", "news", "news of acme")
        await until(lambda: texts(to) == ["news", "news of acme"])
        edit(sandbox.server, source.marked, 0, 2, "news, and acme")
        await settled(session, source)
        found = session.collect_uncommitted().alerts
        assert [(it.rule, it.message) for it in found] == [(1, 1), (1, 3)]
        assert found[0].link == f"https://t.me/c/{source.id}/1"
        session.renew([replace(session.spec.rules[0], options={})])
        say(sandbox, source, "more acme")
        await settled(session, source)
        session.note_committed()
        assert not session.collect_uncommitted().alerts
        await session.stop()

    run_scenario(scenario)


def test_the_report_is_of_a_form_that_the_leader_takes() -> None:
    origin = {"node": "w1", "incarnation": "i", "session_id": 1, "epoch": 1}
    report = report_of(AlertOf(1, A, 5, "https://t.me/c/5/5", 3), origin)
    assert isinstance(report, AlertRaised)
    assert decode("1-0", encode([report])) == ([report], [])
