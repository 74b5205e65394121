"""A hosted session forwards what its rules' filters accept, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from support.sandbox import SandboxHarness, run_scenario, until
from support.sessions import SessionHarness, one_rule, say, texts
from telethon.tl import types

from afx.cluster.specs import RuleSpec
from afx.forwarding.facts import Facts
from afx.forwarding.rules import accepting
from afx.node.closed_routes import ClosedRoutes
from afx.reasons import DeadReason, TroubleReason
from afx.sandbox.judge.flow import post
from afx.sandbox.telegram.boxes import Content


def only(word: str) -> Any:
    return lambda it: it if word in it.text else None


def test_what_a_filter_refuses_is_not_forwarded_and_settles() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        ledger = sandbox.server.ledger
        ledger.expect(source.marked, to.marked, account.id, only("good"))
        session = harness.session(account, (source, to, "copy", {"filter": {"contains": ["GOOD"]}}))
        await session.start()
        for number in range(100):
            say(sandbox, source, f"{'good' if number % 5 == 0 else 'bad'} {number}")
        await until(lambda: len(texts(to)) == 20)
        verdict = ledger.judge()
        assert verdict.is_clean and verdict.strange == 0 and verdict.expected == 20
        box = session.reader.channels[source.id]
        await until(lambda: box.cursor == source.box.pts)
        # No link of what was refused, and the newest settled message is the newest of all.
        links = session.collect_uncommitted().links
        assert len(links) == 20
        assert box.last_ids[source.marked] == max(source.box.messages)
        tally = harness.totals.rules.take()[1]
        assert (tally.forwarded, tally.skipped, sum(tally.latencies.values())) == (20, 80, 20)
        await session.stop()

    run_scenario(scenario)


def test_a_rule_with_a_new_filter_forwards_no_old_message() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy", {"filter": {"contains": ["new"]}}))
        await session.start()
        say(sandbox, source, "old one", "old two", "new one")
        await until(lambda: texts(to) == ["new one"])
        await session.stop()
        cursors = harness.commit(session)
        session = harness.session(account, (source, to, "copy"), cursors=cursors)
        # More than the log has: the history is read from the newest settled message on.
        source.box.log.clear()
        await session.start()
        say(sandbox, source, "old three")
        await until(lambda: len(texts(to)) == 2)
        assert texts(to) == ["new one", "old three"]
        await session.stop()

    run_scenario(scenario)


def test_a_replay_decides_as_before_and_doubles_nothing() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        sandbox.server.ledger.expect(source.marked, to.marked, account.id, only("good"))
        rule = (source, to, "copy", {"filter": {"contains": ["good"]}})
        session = harness.session(account, rule)
        await session.start()
        cursors = harness.commit(session)
        say(sandbox, source, *(f"{'good' if it % 2 else 'bad'} {it}" for it in range(20)))
        await until(lambda: len(texts(to)) == 10)
        await session.stop()  # and nothing of it is committed
        session = harness.session(account, rule, cursors=cursors)
        await session.start()
        say(sandbox, source, "good last")
        await until(lambda: "good last" in texts(to))
        verdict = sandbox.server.ledger.judge()
        assert verdict.is_clean and verdict.strange == 0 and verdict.expected == 11
        await session.stop()

    run_scenario(scenario)


def test_each_rule_of_a_source_has_its_own_filter() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        world = sandbox.server.world
        account = world.add_account()
        source = sandbox.channel(account)
        short, rest, everything = (sandbox.channel(posters=(account,)) for _ in range(3))
        ledger = sandbox.server.ledger
        ledger.expect(source.marked, short.marked, account.id, lambda it: _if(it, len(it.text) < 5))
        ledger.expect(source.marked, rest.marked, account.id, lambda it: _if(it, len(it.text) > 4))
        ledger.expect(source.marked, everything.marked, account.id)
        is_short = {"length": {"max": 4}}
        session = SessionHarness(sandbox).session(
            account,
            (source, short, "copy", {"filter": is_short}),
            (source, rest, "forward", {"filter": {"not": is_short}}),
            (source, everything, "copy"),
        )
        await session.start()
        say(sandbox, source, *("x" * (it % 9 + 1) + str(it) for it in range(40)))
        await until(lambda: ledger.judge().lost == 0)
        verdict = ledger.judge()
        assert verdict.is_clean and verdict.strange == 0
        assert verdict.expected == 80
        await session.stop()

    run_scenario(scenario)


def _if(content: Content, wanted: bool) -> Content | None:
    return content if wanted else None


def test_filters_see_what_telegram_says_of_a_message() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        world, pushes = sandbox.server.world, sandbox.server.pushes
        account, friend, other = (world.add_account() for _ in range(3))
        group = world.add_group("group", friend.id, [account.id, other.id])
        source = sandbox.channel(account)
        wanted: dict[str, dict[str, Any]] = {
            "photo": {"media": ["photo"]},
            "file": {"size": {"min": 1}},
            "tag": {"hashtags": ["news"]},
            "answer": {"reply": True},
            "second": {"sender": [friend.id]},
            "group": {"sender_kind": ["user"], "length": {"min": 1}},
        }
        places = {name: sandbox.channel(posters=(account,)) for name in wanted}
        rules = [
            (
                str(group.marked) if name in ("second", "group") else source,
                places[name],
                "copy",
                more,
            )
            for name, more in ((name, {"filter": it}) for name, it in wanted.items())
        ]
        session = SessionHarness(sandbox).session(account, *rules)
        await session.start()

        def publish(text: str, **fields: Any) -> int:
            message, event = world.post(source, 0, text, **fields)
            pushes.channel_event(source, event, message)
            return int(message.id)

        first = publish("plain")
        publish("caption", media=world.files.add(b"photo", is_photo=True))
        publish("about #News", entities=[types.MessageEntityHashtag(6, 5)])
        publish("an answer", reply_to=first)
        post(sandbox.server, group.marked, other.id, "from another")
        post(sandbox.server, group.marked, friend.id, "from a friend")
        publish("the end #news", entities=[types.MessageEntityHashtag(8, 5)])
        await until(lambda: len(texts(places["tag"])) == 2 and len(texts(places["group"])) == 2)
        found = {name: texts(it) for name, it in places.items()}
        assert found == {
            "photo": ["caption"],
            "file": ["caption"],
            "tag": ["about #News", "the end #news"],
            "answer": ["an answer"],
            "second": ["from a friend"],
            "group": ["from another", "from a friend"],
        }
        await session.stop()

    run_scenario(scenario)


def test_a_filter_that_this_node_cannot_use_stops_its_rule_alone() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        bad = sandbox.channel(posters=(account,))
        session = harness.session(
            account,
            (source, bad, "copy", {"filter": {"of_a_later_version": 1}}),
            (source, to, "copy"),
        )
        await session.start()
        say(sandbox, source, "hello")
        await until(lambda: texts(to) == ["hello"])
        assert session.rule_troubles[1].reason is TroubleReason.RULE_INVALID
        assert texts(bad) == []
        await session.stop()

    run_scenario(scenario)


def test_what_waits_in_an_outbox_was_accepted_and_is_not_judged_again(monkeypatch: Any) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        rule = (source, to, "copy", {"filter": {"contains": ["a"]}})
        sandbox.server.faults.add_flood(account.id, to.marked, 40)
        session = harness.session(account, rule)
        await session.start()
        say(sandbox, source, "a 1", "b 2", "a 3")
        await until(lambda: session.forwarder.outboxes.has(to.marked))
        await session.stop()
        cursors = harness.commit(session)
        sandbox.server.faults.floods.clear()
        cursors = {it: value for it, value in cursors.items() if not it.startswith("wait")}
        session = harness.session(account, rule, cursors=cursors)
        await session.start()
        await until(lambda: len(texts(to)) == 2)
        assert texts(to) == ["a 1", "a 3"]
        await session.stop()

    run_scenario(scenario)


def test_new_filters_and_transforms_are_used_at_once_and_judge_nothing_again() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy", {"filter": {"contains": ["a"]}}))
        await session.start()
        say(sandbox, source, "a 1", "b 2")
        await until(lambda: texts(to) == ["a 1"])
        [rule] = session.spec.rules
        session.renew([replace(rule, filter={"contains": ["b"]}, transform=({"footer": "x"},))])
        say(sandbox, source, "a 3", "b 4")
        await until(lambda: texts(to) == ["a 1", "b 4\nx"])
        session.renew([replace(rule, filter={"of_a_later_version": 1})])
        assert harness.rules[1] is not None
        session.renew([replace(rule, filter={})])
        assert harness.rules[1] is None
        say(sandbox, source, "c 5")
        await until(lambda: texts(to)[-1] == "c 5")
        assert len(texts(to)) == 3
        session.renew([replace(rule, mode="forward", filter={"contains": ["z"]})])
        say(sandbox, source, "d 6", "z 7")
        await until(lambda: texts(to)[-1] == "z 7")
        assert len(texts(to)) == 4
        await session.stop()

    run_scenario(scenario)


def test_what_a_rule_misses_while_it_is_invalid_is_dead_letters_of_it_for_a_retry() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        other = sandbox.channel(posters=(account,))
        wrong = {"filter": {"of_a_later_version": 1}}
        rules = (source, to, "copy", wrong), (source, other, "copy")
        session = harness.session(account, *rules)
        await session.start()
        assert list(session.rule_troubles) == [1]
        say(sandbox, source, "yes 1")
        await until(lambda: texts(other) == ["yes 1"])
        await session.stop()
        session = harness.session(account, *rules, cursors=harness.commit(session))
        await session.start()
        say(sandbox, source, "no 2", "yes 3")
        await until(lambda: len(texts(other)) == 3)
        await session.redeliver(1, source.marked, to.marked, [1], reason=DeadReason.NOT_JUDGED)
        await until(lambda: not session.forwarder.outboxes.has(to.marked))
        harness.commit(session)
        assert {(it.rule, it.reason) for it in harness.dead if it.reason} == {
            (1, DeadReason.NOT_JUDGED)
        }
        assert {number for it in harness.dead for number in it.messages} == {1, 2, 3}
        rule, plain = session.spec.rules
        session.renew([replace(rule, filter={"contains": ["yes"]}), plain])
        assert not session.rule_troubles
        say(sandbox, source, "yes 4")
        await until(lambda: texts(to) == ["yes 4"])
        route = (1, source.marked, to.marked)
        await session.redeliver(*route, [1, 2, 3], reason=DeadReason.NOT_JUDGED)
        await until(lambda: not session.forwarder.outboxes.has(to.marked))
        assert texts(to) == ["yes 4", "yes 1", "yes 3"]
        await session.stop()

    run_scenario(scenario)


def test_an_album_is_judged_by_its_caption_and_not_torn_apart() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy", {"filter": {"contains": ["yes"]}}))
        await session.start()
        files = sandbox.server.world.files
        for album, caption in ((5, "yes"), (6, "no"), (7, "yes, too")):
            for number in range(3):
                message, event = sandbox.server.world.post(
                    source,
                    0,
                    "" if number else caption,
                    media=files.add(f"{album} {number}".encode(), is_photo=True),
                    grouped=album,
                )
                sandbox.server.pushes.channel_event(source, event, message)
        say(sandbox, source, "yes at last")
        await until(lambda: "yes at last" in texts(to))
        assert texts(to) == ["yes", "", "", "yes, too", "", "", "yes at last"]
        await session.stop()

    run_scenario(scenario)


def test_the_regular_expressions_of_a_session_have_a_bound_together() -> None:
    large = {"regex": [r"\pL{1,2}"]}
    rules = [RuleSpec(it, ("1",), ("2",), "copy", large) for it in range(1, 31)]
    closed = ClosedRoutes(rules)
    closed.note_known({"1": 1, "2": 2})
    troubled = set(closed.troubles())
    assert troubled and 1 not in troubled
    assert {it.rule for it in accepting(Facts("some"), closed.routes[1]) if it.unjudged} == troubled
    assert closed.troubles()[30].reason is TroubleReason.RULE_INVALID
