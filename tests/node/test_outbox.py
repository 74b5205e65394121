"""What waits long for one destination is stored, and neither cursor nor memory waits for it."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any, get_args

import pytest
import redis as redis_module
from support.hosts import SESSION, HostBench, host_on
from support.sandbox import SandboxHarness, run_scenario, until
from support.sessions import one_rule, say, texts

from afx.cluster import keys
from afx.coordinator.checkpoints import _FIELD
from afx.forwarding.pipeline import Delivery, Op
from afx.forwarding.rules import Mode
from afx.node import lane, lane_sender
from afx.node.outbox import Outbox
from afx.node.outboxes import load
from afx.node.preparation import StartError
from afx.node.references import Reference, decode, encode
from afx.node.session import HostedSession
from afx.sandbox.telegram.peers import Channel
from afx.telegram.session import MalformedPositionError
from models.base import transaction
from models.storage import cursors, sessions, users
from models.storage.cursors import save_many
from models.storage.sessions import NewSession

MANY = [f"message {number}" for number in range(600)]


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane, "_PARK_SECONDS", 0.5)


def delivery(message: int, rule: int = 1, source: int = -1_000_000_000_005) -> Delivery:
    return Delivery(rule, "copy", source, message, 3, message, "", (), False)


def outboxes(cursors: dict[str, str]) -> dict[str, str]:
    return {it: text for it, text in cursors.items() if it.startswith("outbox:")}


def held(session: HostedSession, to: Channel) -> int:
    return len(session.forwarder.lanes[to.marked])


def forget_random_ids(sandbox: SandboxHarness) -> None:
    """Telegram's memory of random ids is empty: only the links know."""
    for account in sandbox.server.world.accounts.values():
        account.sent.clear()


def test_a_long_wait_holds_back_neither_the_cursor_nor_the_memory() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, slow = one_rule(sandbox)
        quick = sandbox.channel(posters=(account,))
        rules = (source, slow, "copy"), (source, quick, "copy")
        session = harness.session(account, *rules)
        await session.start()
        sandbox.server.faults.add_flood(account.id, slow.marked, 5.0)
        say(sandbox, source, *MANY)
        await until(lambda: texts(quick) == MANY)
        await until(lambda: harness.commit(session)[f"channel:{source.id}"] == "601")
        session.note_committed()
        assert texts(slow) == []
        assert held(session, slow) <= lane_sender.BATCH
        stored = outboxes(harness.progress)
        assert sum(map(len, stored.values())) < 200, "600 references are a few runs"
        assert all(_FIELD.fullmatch(f"{name}={text}") for name, text in stored.items())
        await until(lambda: len(texts(slow)) >= len(MANY))
        assert texts(slow) == MANY
        await until(lambda: not outboxes(harness.commit(session)))
        say(sandbox, source, "the last one")
        await until(lambda: texts(slow)[-1] == "the last one")
        assert not outboxes(harness.commit(session)), "the lane is as it was before"
        await session.stop()

    run_scenario(scenario)


@pytest.mark.parametrize("judge", [False, True])
@pytest.mark.parametrize("mode", get_args(Mode))
@pytest.mark.parametrize("op", get_args(Op))
def test_the_leader_copies_every_reference_of_an_outbox_to_sql(
    op: Op, mode: Mode, judge: bool
) -> None:
    text = encode([Reference(7, mode, -1005, 3, judge, op, old=judge)])
    assert _FIELD.fullmatch(f"outbox:-1006:1={text}"), text


def test_what_comes_while_an_outbox_is_sent_goes_behind_it() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, slow = one_rule(sandbox)
        other = sandbox.channel(account)
        session = harness.session(account, (source, slow, "copy"), (other, slow, "forward"))
        await session.start()
        sandbox.server.faults.add_flood(account.id, slow.marked, 1.0)
        said = []
        for number in range(300):
            say(sandbox, (source, other)[number % 2], f"message {number}")
            said.append(f"message {number}")
        await until(lambda: len(texts(slow)) >= 100)
        for number in range(300, 400):
            say(sandbox, (source, other)[number % 2], f"message {number}")
            said.append(f"message {number}")
        await until(lambda: len(texts(slow)) >= 400)
        assert sorted(texts(slow)) == sorted(said)
        for parity in (0, 1):
            of_one = [it for it in texts(slow) if int(it.split()[1]) % 2 == parity]
            assert of_one == said[parity::2]
        await session.stop()

    run_scenario(scenario)


@pytest.mark.parametrize("forgets", [False, True])
def test_the_next_owner_goes_on_with_the_outbox_in_order(forgets: bool) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, slow = one_rule(sandbox)
        held_back = sandbox.channel(account, posters=(account,))
        rules = (source, slow, "copy"), (source, held_back, "copy")
        session = harness.session(account, *rules)
        await session.start()
        sandbox.server.faults.add_flood(account.id, slow.marked, 5.0)
        say(sandbox, source, *MANY)
        await until(lambda: len(texts(held_back)) >= 600)
        await until(lambda: harness.commit(session)[f"channel:{source.id}"] == "601")
        session.note_committed()
        before = dict(harness.progress)
        assert outboxes(before)
        await until(lambda: len(texts(slow)) >= 100)
        # It dies: of what was sent since, the cursor knows nothing, the links do or do not.
        if forgets:
            harness.links.store(session.collect_uncommitted().links)
            await session.stop()
            harness.links.store(session.collect_uncommitted().links)
            forget_random_ids(sandbox)
        else:
            await session.stop()
        say(sandbox, source, "while it was down")
        again = harness.session(account, *rules, cursors=before)
        await again.start()
        await until(lambda: len(texts(slow)) >= 601)
        assert texts(slow) == [*MANY, "while it was down"]
        await until(lambda: not outboxes(harness.commit(again)))
        assert texts(held_back) == [*MANY, "while it was down"]
        await again.stop()

    run_scenario(scenario)


def test_a_lane_that_holds_too_much_gives_it_to_its_outbox_also_while_a_batch_is_in_flight(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lane, "_MOST_HELD", 60)

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        passed = 0
        for start in range(0, 600, 100):
            say(sandbox, source, *MANY[start : start + 100])
            await until(lambda: session.reader.channels[source.id].pts > start + 100)  # noqa: B023
            passed += bool(outboxes(harness.commit(session)))
            session.note_committed()
            assert held(session, to) <= 200
            sandbox.server.connections.drop(account.id)
        await until(lambda: len(texts(to)) >= 600)
        assert passed
        assert texts(to) == MANY
        await until(lambda: not outboxes(harness.commit(session)))
        assert harness.progress[f"channel:{source.id}"] == "601"
        await session.stop()

    run_scenario(scenario)


def test_what_could_not_be_committed_of_an_outbox_is_committed_later() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, slow = one_rule(sandbox)
        session = harness.session(account, (source, slow, "copy"))
        await session.start()
        sandbox.server.faults.add_flood(account.id, slow.marked, 60.0)
        say(sandbox, source, *MANY[:10])
        await until(lambda: session.reader.channels[source.id].cursor == 11)
        session.put_back(session.collect_uncommitted())
        stored = outboxes(harness.commit(session))
        assert list(stored.values()) == [f"1:c:{source.marked}:1-10"]
        session.note_committed()
        harness.progress.clear()
        session.mark_all_dirty()  # Redis has lost its data
        assert outboxes(harness.commit(session)) == stored
        await session.stop()

    run_scenario(scenario)


def test_a_chat_that_is_source_and_destination_has_no_outbox() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        sandbox.server.world.join(to, account)
        source.posters.add(account.id)
        session = harness.session(account, (source, to, "copy"), (to, source, "copy"))
        await session.start()
        sandbox.server.faults.add_flood(account.id, to.marked, 1.0)
        say(sandbox, source, "one", "two")
        await until(lambda: texts(to) == ["one", "two"])
        assert not session.forwarder.outboxes.has(to.marked)
        assert texts(source) == ["one", "two"]
        await session.stop()

    run_scenario(scenario)


def test_a_message_that_is_replayed_does_not_go_to_the_outbox_twice() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, slow = one_rule(sandbox)
        session = harness.session(account, (source, slow, "copy"))
        await session.start()
        first = harness.commit(session)[f"channel:{source.id}"]
        sandbox.server.faults.add_flood(account.id, slow.marked, 5.0)
        say(sandbox, source, "one", "two", "three")
        await until(lambda: harness.commit(session)[f"channel:{source.id}"] == "4")
        stored = dict(harness.progress)
        await session.stop()
        assert texts(slow) == []
        # The cursor of an earlier commit, and the outbox of a later one.
        stored[f"channel:{source.id}"] = first
        again = harness.session(account, (source, slow, "copy"), cursors=stored)
        await again.start()
        await until(lambda: len(texts(slow)) >= 3)
        say(sandbox, source, "four")
        await until(lambda: len(texts(slow)) >= 4)
        assert texts(slow) == ["one", "two", "three", "four"]
        await again.stop()  # it awaits the last answer
        assert again.sent == 4

    run_scenario(scenario)


def test_a_message_that_is_deleted_while_it_waits_is_reported() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, slow = one_rule(sandbox)
        session = harness.session(account, (source, slow, "copy"))
        await session.start()
        sandbox.server.faults.add_flood(account.id, slow.marked, 4.0)
        say(sandbox, source, *MANY[:100])
        await until(lambda: harness.commit(session)[f"channel:{source.id}"] == "101")
        del source.box.messages[80]
        await until(lambda: len(texts(slow)) >= 99)
        assert texts(slow) == [*MANY[:79], *MANY[80:100]]
        assert any("message 80 " in it and "deleted" in it for it in harness.troubles)
        await session.stop()

    run_scenario(scenario)


def test_a_malformed_outbox_keeps_the_session_from_starting() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        cursors = {f"outbox:{to.marked}:0": "1:c:x"}
        session = harness.session(account, (source, to, "copy"), cursors=cursors)
        with pytest.raises(StartError, match="outbox"):
            await session.start()
        await session.stop()

    run_scenario(scenario)


def test_an_outbox_is_stored_in_chunks_of_which_only_the_ends_change() -> None:
    made = Outbox(3)
    for message in range(1, 1_001):
        made.append(delivery(message))
    fields = made.take_fields()
    assert fields[::2] == [f"outbox:3:{number}" for number in range(4)]
    assert fields[1] == "1:c:-1000000000005:1-256"
    assert made.take_fields() == []
    for ticket in made.begin(2):
        ticket.open = 0
    assert made.advance()
    assert made.take_fields() == ["outbox:3:0", "1:c:-1000000000005:3-256"]
    made.append(delivery(1_001))
    assert made.take_fields()[::2] == ["outbox:3:3"]
    made.put_back()
    assert made.take_fields()[::2] == ["outbox:3:3"]
    sent = []
    while made:
        references = made.first(200)
        sent += [it.message for it in references]
        for ticket in made.begin(len(references)):
            ticket.open = 0
        made.advance()
    assert sent == list(range(3, 1_002))
    assert made.take_fields() == [
        *(text for number in range(4) for text in (f"outbox:3:{number}", "")),
        *("first:3", "4"),
    ]


def test_a_loaded_outbox_goes_on_where_the_stored_one_ended() -> None:
    made = Outbox(3)
    for message in (1, 2, 5, 9):
        made.append(delivery(message))
    made.append(delivery(4, rule=2))
    fields = dict(zip(*[iter(made.take_fields())] * 2, strict=True))
    fields["channel:5"] = "7"
    loaded = load(fields)[3]
    assert fields == {"channel:5": "7"}
    assert [it.message for it in loaded.first(200)] == [1, 2, 5, 9, 4]
    assert loaded.contains(delivery(5))
    assert not loaded.contains(delivery(4))
    assert loaded.contains(delivery(4, rule=2))
    loaded.append(delivery(10))
    text = "1:c:-1000000000005:1-2,5,9;2:c:-1000000000005:4;1:c:-1000000000005:10"
    assert loaded.take_fields() == ["outbox:3:0", text]


def test_references_are_read_back_as_they_were() -> None:
    wanted = [
        Reference(1, "copy", 5, 3),
        Reference(1, "copy", 5, 4),
        Reference(1, "forward", 5, 5),
        Reference(2, "copy", -7, 1),
        Reference(2, "copy", -7, 9),
        Reference(2, "copy", -7, 8),
        Reference(2, "copy", -7, 9, True),
        Reference(2, "copy", -7, 9, True, old=True),
        Reference(2, "forward", -7, 9, True, old=True),
        Reference(2, "forward", -7, 9, True),
    ]
    assert decode(encode(wanted)) == wanted


@pytest.mark.parametrize(
    "text", ["", "1:c:5", "1:x:5:1", "1:c:5:1-", "1:c:5:1-999999999", "1:c:5:1,,2", "1:c:٣:1"]
)
def test_a_malformed_outbox_is_refused(text: str) -> None:
    with pytest.raises(MalformedPositionError):
        decode(text)


def test_an_outbox_comes_back_to_a_flushed_redis_from_the_copy_in_sql(
    database: Any, redis_url: str, redis: redis_module.Redis, home: Path
) -> None:
    """Through Redis and SQL: a node stops, Redis is flushed, SQL's copy is all that is left."""
    owner = users.create("alice")
    made = sessions.create_many(owner, [NewSession(f"s{it}", "sealed") for it in range(SESSION)])
    assert SESSION in made

    async def scenario(sandbox: SandboxHarness) -> None:
        async with host_on(redis_url, home) as host:
            bench = HostBench(sandbox, host, redis)
            running = asyncio.create_task(host.run())
            source, slow = bench.add_rule()
            await bench.start(5)
            await until(lambda: host.reports.waiting or redis.xlen(keys.REPORTS))
            sandbox.server.faults.add_flood(bench.account.id, slow.marked, 5.0)
            say(sandbox, source, *MANY)
            position = f"channel:{source.id}"
            await until(lambda: redis.hget(keys.cursor(SESSION), position) == "601")
            stored = redis.hgetall(keys.cursor(SESSION))
            assert outboxes(stored)
            await bench.stop(5)
            await until(lambda: not bench.connections())
            await until(lambda: not host._runner.tasks)
            with transaction():
                save_many({SESSION: redis.hgetall(keys.cursor(SESSION))})
            redis.flushall()
            for name, value in cursors.page(0, 10)[SESSION].items():
                redis.hset(keys.cursor(SESSION), name, value)
            say(sandbox, source, "while it was down")
            await bench.start(6)
            await until(lambda: len(texts(slow)) >= 601)
            assert texts(slow) == [*MANY, "while it was down"]
            await until(lambda: not outboxes(redis.hgetall(keys.cursor(SESSION))))
            host.close()
            await running

    run_scenario(scenario)


@pytest.mark.parametrize("seed", range(3))
def test_floods_cuts_and_kills_lose_double_and_reorder_nothing(
    monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(lane, "_PARK_SECONDS", 0.1)
    monkeypatch.setattr(lane, "_MOST_HELD", 40)
    chance = random.Random(seed)

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, first, to = one_rule(sandbox)
        second = sandbox.channel(account)
        other = sandbox.channel(posters=(account,))
        rules = [
            (source, target, mode)
            for source, mode in ((first, "copy"), (second, "forward"))
            for target in (to, other)
        ]
        session = harness.session(account, *rules)
        await session.start()
        harness.commit(session)
        session.note_committed()
        said: dict[int, list[str]] = {0: [], 1: []}
        for step in range(40):
            for which, source in enumerate((first, second)):
                new = [f"{which}: {step}.{it}" for it in range(chance.randrange(20))]
                said[which] += new
                say(sandbox, source, *new)
            match chance.randrange(8):
                case 0 | 1:
                    target = chance.choice((to, other))
                    sandbox.server.faults.add_flood(account.id, target.marked, 0.2)
                case 2:
                    sandbox.server.connections.drop(account.id)
                case 3:
                    # Killed: what it has sent since its last commit is known to Telegram alone.
                    await session.stop()
                    session = harness.session(account, *rules, cursors=harness.progress)
                    await session.start()
                case 4 | 5:
                    harness.commit(session)
                    session.note_committed()
                case _:
                    pass
            await asyncio.sleep(chance.uniform(0, 0.03))
        wanted = len(said[0]) + len(said[1])
        await until(lambda: min(len(texts(to)), len(texts(other))) >= wanted)
        for target in (to, other):
            found = texts(target)
            assert len(found) == wanted
            for which, texts_of_one in said.items():
                assert [it for it in found if it.startswith(f"{which}:")] == texts_of_one
        await until(lambda: not outboxes(harness.commit(session)))
        await session.stop()

    run_scenario(scenario)
