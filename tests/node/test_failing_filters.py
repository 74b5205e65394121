"""A filter that fails neither lets a message pass nor drops it unseen."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from support.sandbox import SandboxHarness, run_scenario, until
from support.sessions import one_rule, say, texts

from afx.forwarding.facts import Facts
from afx.forwarding.rules import Route, accepting
from afx.node import closed_routes
from afx.node.references import Reference, decode, encode
from afx.reasons import DeadReason

FILTER = {"filter": {"contains": ["any"]}}


def judging(monkeypatch: pytest.MonkeyPatch, test: Callable[[Facts], bool]) -> None:
    """Let all filters judge so."""
    monkeypatch.setattr(closed_routes, "compile_filter", lambda _: SimpleNamespace(test=test))


def fails(facts: Facts) -> bool:
    if "odd" in facts.text:
        raise ValueError(facts.text)
    return True


def test_what_a_filter_fails_on_is_a_dead_letter_of_its_rule_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        other = sandbox.channel(posters=(account,))
        judging(monkeypatch, fails)
        session = harness.session(account, (source, to, "copy", FILTER), (source, other, "copy"))
        await session.start()
        say(sandbox, source, "one", "odd two", "three")
        await until(lambda: texts(to) == ["one", "three"] and len(texts(other)) == 3)
        box = session.reader.channels[source.id]
        await until(lambda: box.cursor == source.box.pts)
        await session.stop()
        harness.commit(session)
        [dead] = harness.dead
        assert (dead.rule, dead.reason, dead.messages) == (1, DeadReason.NOT_JUDGED, (2,))
        assert any("its filter failed: ValueError" in it for it in harness.troubles)

    run_scenario(scenario)


@pytest.mark.parametrize("takes", [True, False])
def test_a_retry_asks_the_filter_again(monkeypatch: pytest.MonkeyPatch, takes: bool) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        judging(monkeypatch, fails)
        session = harness.session(account, (source, to, "copy", FILTER))
        await session.start()
        say(sandbox, source, "odd one")
        await until(lambda: session.reader.channels[source.id].cursor == source.box.pts)
        judging(monkeypatch, lambda _: takes)
        session.renew(session.spec.rules)
        sandbox.server.faults.add_flood(account.id, to.marked, 0.3)
        await session.redeliver(1, source.marked, to.marked, [1], reason=DeadReason.NOT_JUDGED)
        await session.stop()  # the outbox keeps that it is to be judged
        session = harness.session(
            account, (source, to, "copy", FILTER), cursors=harness.commit(session)
        )
        assert any(it.startswith("outbox") for it in harness.progress) is takes
        await session.start()
        say(sandbox, source, "two")
        await until(lambda: not session.forwarder.outboxes.has(to.marked))
        await until(lambda: session.reader.channels[source.id].cursor == source.box.pts)
        assert texts(to) == (["odd one", "two"] if takes else [])
        await session.stop()
        harness.commit(session)
        assert not any(it.reason for it in harness.dead[1:])

    run_scenario(scenario)


def test_a_retry_whose_filter_still_fails_is_a_dead_letter_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        judging(monkeypatch, fails)
        session = harness.session(account, (source, to, "copy", FILTER))
        await session.start()
        say(sandbox, source, "odd one")
        await until(lambda: session.reader.channels[source.id].cursor == source.box.pts)
        await session.redeliver(1, source.marked, to.marked, [1], reason=DeadReason.NOT_JUDGED)
        await until(lambda: not session.forwarder.outboxes.has(to.marked))
        await session.stop()
        harness.commit(session)
        assert harness.dead[-1].reason is DeadReason.NOT_JUDGED
        assert texts(to) == []

    run_scenario(scenario)


def test_each_rule_is_asked_once_and_its_failure_marks_its_routes_alone() -> None:
    asked = []

    def failing(facts: Facts) -> bool:
        asked.append(facts.id)
        raise LookupError

    routes = [Route(1, -5, "copy", failing), Route(1, -6, "copy", failing), Route(2, -5, "copy")]
    found = accepting(Facts("text"), routes)
    assert [(it.rule, it.destination, it.unjudged) for it in found] == [
        (1, -5, "its filter failed: LookupError"),
        (1, -6, "its filter failed: LookupError"),
        (2, -5, ""),
    ]
    assert len(asked) == 1


def test_an_outbox_stores_which_of_its_messages_are_to_be_judged() -> None:
    references: list[Any] = [
        Reference(7, "copy", -5, 1),
        Reference(7, "copy", -5, 2, judge=True),
        Reference(7, "copy", -5, 3, judge=True),
        Reference(8, "forward", -6, 4, judge=True),
    ]
    assert encode(references) == "7:c:-5:1;7:C:-5:2-3;8:F:-6:4"
    assert decode(encode(references)) == references
