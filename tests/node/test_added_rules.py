"""Rules that come, or name more chats, while their session runs: it does not restart."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from support.sandbox import SandboxHarness, run_scenario, until
from support.sessions import RefusingHandler, one_rule, say, texts
from telethon.tl import functions

from afx.cluster.specs import RuleSpec
from afx.node import rule_watch
from afx.node.admission import Admission
from afx.node.chat_watch import ChatWatch
from afx.node.pools import Pools
from afx.node.session import HostedSession
from afx.reasons import DeadReason, TroubleReason
from afx.sandbox.telegram.peers import Channel

WAIT = (420, "FLOOD_WAIT_1")


def rule_of(number: int, source: Channel | str, to: Channel, **more: Any) -> RuleSpec:
    source_name = source if isinstance(source, str) else str(source.marked)
    return RuleSpec(number, (source_name,), (str(to.marked),), "copy", **more)


async def used(session: HostedSession) -> None:
    """Wait until the session has taken the rules that came."""
    await until(lambda: session._rules._task is not None and session._rules._task.done())


def test_a_rule_that_names_new_chats_is_used_from_now_on_in_the_running_session() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        fresh, other = sandbox.channel(account), sandbox.channel(posters=(account,))
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        connections = set(sandbox.server.connections)
        say(sandbox, fresh, "before")
        session.renew([*session.spec.rules, rule_of(2, fresh, other)])
        assert [it.id for it in session.spec.rules] == [1, 2], "tasks see it at once"
        await used(session)
        say(sandbox, fresh, "after")
        say(sandbox, source, "still")
        await until(lambda: texts(other) == ["after"] and texts(to) == ["still"])
        assert set(sandbox.server.connections) == connections
        assert not session.rule_troubles
        await session.stop()
        # Its position is stored like any other one.
        say(sandbox, fresh, "while it was away")
        rules = (source, to, "copy"), (fresh, other, "copy")
        session = harness.session(account, *rules, cursors=harness.commit(session))
        await session.start()
        await until(lambda: texts(other) == ["after", "while it was away"])
        await session.stop()

    run_scenario(scenario)


def test_a_rule_that_names_more_chats_reads_the_new_ones_and_loses_nothing_of_the_old() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        fresh, other = sandbox.channel(account), sandbox.channel(posters=(account,))
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        [rule] = session.spec.rules
        say(sandbox, source, "1", "2", "3")
        grown = replace(
            rule,
            sources=(str(fresh.marked), *rule.sources),
            destinations=(*rule.destinations, str(other.marked)),
            filter={"not": {"contains": ["no"]}},
        )
        session.renew([grown])
        say(sandbox, source, "4")
        await used(session)
        say(sandbox, source, "5", "no")
        say(sandbox, fresh, "6")
        await until(lambda: len(texts(to)) == 6 and texts(other)[-2:] == ["5", "6"])
        assert sorted(texts(to)) == ["1", "2", "3", "4", "5", "6"]
        await session.stop()

    run_scenario(scenario)


def test_what_a_rule_no_longer_does_ends_in_the_running_session() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        other = sandbox.channel(posters=(account,))
        second = sandbox.channel(account)
        chats = ((source, second), (to, other), "copy")
        session = harness.session(account, chats, (source, other, "forward"))
        await session.start()
        connections = set(sandbox.server.connections)
        one, two = session.spec.rules
        say(sandbox, source, "1")
        await until(lambda: texts(to) == ["1"] and texts(other) == ["1", "1"])
        fewer = replace(one, sources=one.sources[:1], destinations=one.destinations[1:])
        session.renew([replace(fewer, filter={"contains": ["2", "3"]})])
        assert [it.id for it in session.spec.rules] == [1], "tasks see it at once"
        assert second.id not in session.reader.channels
        say(sandbox, second, "2 that nobody reads")
        say(sandbox, source, "2", "no")
        await until(lambda: texts(other) == ["1", "1", "2"])
        session.renew([replace(fewer, mode="forward"), two])
        await used(session)
        say(sandbox, source, "3")
        await until(lambda: texts(other)[3:] == ["3", "3"])
        assert all(it.forwarded for it in list(other.box.messages.values())[-2:])
        assert texts(to) == ["1"] and set(sandbox.server.connections) == connections
        fields = harness.commit(session)
        assert fields.keys() >= {f"channel:{source.id}", f"last:{source.marked}"}
        assert not {f"channel:{second.id}", f"last:{second.marked}"} & fields.keys()
        # What names it again begins at what is posted then.
        session.renew([one])
        await used(session)
        say(sandbox, second, "4")
        await until(lambda: texts(to) == ["1", "4"])
        await session.stop()
        assert not harness.dead and not harness.troubles

    run_scenario(scenario)


def test_a_rule_that_names_other_chats_goes_over_to_them_and_loses_nothing() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        other = sandbox.channel(posters=(account,))
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        [rule] = session.spec.rules
        sandbox.server.faults.delay_seconds = 0.02
        session.renew([replace(rule, destinations=(str(other.marked),))])
        say(sandbox, source, "1", "2")
        await used(session)
        say(sandbox, source, "3")
        await until(lambda: texts(other)[-1:] == ["3"])
        assert sorted(texts(to) + texts(other)) == ["1", "2", "3"]
        await session.stop()

    run_scenario(scenario)


def test_what_waits_of_a_rule_that_is_removed_is_not_sent_and_is_a_dead_letter() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        second = sandbox.channel(account)
        session = harness.session(account, (source, to, "copy"), (second, to, "copy"))
        await session.start()
        session.pause()
        say(sandbox, source, "1", "2")
        say(sandbox, second, "kept")
        lanes = session.forwarder.lanes
        await until(lambda: to.marked in lanes and len(lanes[to.marked]._queue) == 3)
        session.renew([it for it in session.spec.rules if it.id == 2])
        session.resume()
        await until(lambda: texts(to) == ["kept"])
        await session.stop()
        harness.commit(session)
        assert sorted((it.reason, it.messages) for it in harness.dead) == [
            (DeadReason.RULE_CHANGED, (1, 2))
        ]

    run_scenario(scenario)


@pytest.mark.parametrize("is_parked", [False, True])
def test_what_telegram_has_refused_for_now_is_not_sent_by_a_rule_that_is_removed_meanwhile(
    monkeypatch: pytest.MonkeyPatch, is_parked: bool
) -> None:
    sends = RefusingHandler(monkeypatch, functions.messages.SendMessageRequest, WAIT)

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        second = sandbox.channel(account)
        session = harness.session(account, (source, to, "copy"), (second, to, "copy"))
        await session.start()
        say(sandbox, source, "1")
        lanes = session.forwarder.lanes
        await until(lambda: bool(sends.requests) and lanes[to.marked]._timer is not None)
        say(sandbox, second, "kept")
        if is_parked:
            lanes[to.marked].park()
        await until(lambda: len(list(lanes[to.marked].waiting())) == 2)
        session.renew([it for it in session.spec.rules if it.id == 2])
        await until(lambda: "kept" in texts(to))
        assert texts(to) == ["kept"]
        await session.stop()
        harness.commit(session)
        assert [(it.reason, it.messages) for it in harness.dead] == [
            (DeadReason.RULE_CHANGED, (1,))
        ]

    run_scenario(scenario)


def test_what_is_not_admitted_yet_of_a_rule_that_is_removed_is_not_sent_either(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        other = sandbox.channel(posters=(account,))
        answered, copies = asyncio.Event(), Admission.copies

        async def late(admission: Admission, chat: int, messages: Sequence[int]) -> Any:
            await answered.wait()
            return await copies(admission, chat, messages)

        monkeypatch.setattr(Admission, "copies", late)
        session = harness.session(account, (source, to, "copy"), (source, other, "copy"))
        await session.start()
        session.forwarder.note_guarded(frozenset({source.marked}))
        say(sandbox, source, "1", "2")
        admission = session.forwarder.admission
        await until(lambda: len(admission._queues.get(source.marked, ())) == 2)
        session.renew([it for it in session.spec.rules if it.id == 2])
        answered.set()
        await until(lambda: texts(other) == ["1", "2"])
        await session.stop()
        assert not texts(to)
        harness.commit(session)
        assert [(it.reason, it.messages) for it in harness.dead] == [
            (DeadReason.RULE_CHANGED, (1, 2))
        ]

    run_scenario(scenario)


def test_a_chat_that_goes_while_it_is_looked_up_is_not_read() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        fresh, next_one = sandbox.channel(account), sandbox.channel(account)
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        [rule] = session.spec.rules
        sandbox.server.faults.delay_seconds = 0.05
        session.renew([rule, rule_of(2, fresh, to)])
        await until(lambda: fresh.marked in session._rules._closed.sources)
        session.renew([rule, rule_of(3, next_one, to)])
        sandbox.server.faults.delay_seconds = 0.0
        await until(lambda: next_one.id in session.reader.channels)
        await used(session)
        assert fresh.id not in session.reader.channels
        say(sandbox, fresh, "no")
        say(sandbox, next_one, "1")
        say(sandbox, source, "2")
        await until(lambda: sorted(texts(to)) == ["1", "2"])
        assert not session.rule_troubles
        await session.stop()

    run_scenario(scenario)


def test_a_new_rule_with_a_chat_that_the_account_does_not_know_says_so_and_hinders_no_other() -> (
    None
):
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        hidden = sandbox.channel()
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        session.renew([*session.spec.rules, rule_of(2, hidden, to), rule_of(3, "@nobody", to)])
        await until(lambda: 2 in harness.rules and 3 in harness.rules)
        found = {it: trouble and trouble.reason for it, trouble in harness.rules.items()}
        assert found == {2: TroubleReason.CHAT_UNKNOWN, 3: TroubleReason.CHAT_UNKNOWN}
        say(sandbox, source, "1")
        await until(lambda: texts(to) == ["1"])
        await session.stop()

    run_scenario(scenario)


def test_rules_that_come_one_after_another_are_all_used() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        fresh = [sandbox.channel(account) for _ in range(3)]
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        sandbox.server.faults.delay_seconds = 0.05
        for number, chat in enumerate(fresh, 2):
            session.renew([*session.spec.rules, rule_of(number, chat, to)])
            await asyncio.sleep(0)
        await used(session)
        sandbox.server.faults.delay_seconds = 0.0
        for chat in fresh:
            say(sandbox, chat, str(chat.id))
        await until(lambda: sorted(texts(to)) == sorted(str(it.id) for it in fresh))
        await session.stop()

    run_scenario(scenario)


def test_a_connection_that_is_lost_while_a_new_rule_is_looked_up_does_not_lose_it() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        fresh = sandbox.channel(account)
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        sandbox.server.faults.delay_seconds = 3600.0
        session.renew([*session.spec.rules, rule_of(2, fresh, to)])
        await asyncio.sleep(0)
        session.lost(ConnectionError("cut"))
        sandbox.server.faults.delay_seconds = 0.0
        await until(lambda: fresh.id in session.reader.channels)
        await used(session)
        say(sandbox, fresh, "1")
        await until(lambda: texts(to) == ["1"])
        await session.stop()

    run_scenario(scenario)


@pytest.mark.parametrize("part", ["pools", "chats"])
def test_a_new_rule_whose_check_fails_is_tried_again_within_seconds(
    part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rule_watch, "_FIRST_SECONDS", 0.01)

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        fresh, more = sandbox.channel(account), sandbox.channel(account)
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        asked: list[object] = []

        async def fails(*_: object) -> None:
            asked.append(_)
            if len(asked) < 3:
                raise RuntimeError("Redis has no room")

        owner: Any = Pools if part == "pools" else ChatWatch
        monkeypatch.setattr(owner, "check" if part == "pools" else "register", fails)
        session.renew([*session.spec.rules, rule_of(2, fresh, to)])
        await until(lambda: len(asked) >= 3)
        await used(session)
        say(sandbox, fresh, "1")
        await until(lambda: texts(to) == ["1"])
        # While it waits for long, a rule that comes is tried at once.
        asked.clear()
        monkeypatch.setattr(rule_watch, "_FIRST_SECONDS", 3600.0)
        session.renew([*session.spec.rules, rule_of(3, more, to)])
        await until(lambda: session._rules._news is not None)
        asked += [(), ()]
        session.renew([*session.spec.rules, rule_of(4, source, fresh)])
        await used(session)
        say(sandbox, more, "2")
        await until(lambda: texts(to) == ["1", "2"])
        await session.stop()

    run_scenario(scenario)


def test_the_chats_to_which_only_senders_post_are_not_looked_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lists = RefusingHandler(monkeypatch, functions.messages.GetDialogsRequest)

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        hidden = sandbox.channel()
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        rule = rule_of(2, source, hidden, options={"senders": {"two": 2}})
        asked = len(lists.requests)
        session.renew([*session.spec.rules, rule])
        await used(session)
        assert len(lists.requests) == asked
        assert harness.rules.get(2) is None
        await session.stop()

    run_scenario(scenario)
