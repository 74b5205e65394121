"""What a rule's options mean for its old messages, and how their position is stored."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import redis as redis_module
from support.pools import OWNER, A, B, Fleet, all_on, authors, pool
from support.pools import run as on_nodes
from support.replays import ReplayRun
from support.sandbox import SandboxHarness, run_scenario, until
from support.sessions import one_rule, say, texts

from afx.clock import Clock
from afx.coordinator.checkpoints import _FIELD
from afx.forwarding.pipeline import Delivery, Incoming, Op
from afx.forwarding.rules import Route
from afx.node.backfill_state import Backfill, Range, Stage, take_backfills
from afx.node.backfilling import covers
from afx.node.backfills import Backfills
from afx.node.copy_judge import Passed
from afx.node.outbox import Outbox
from afx.node.outboxes import Outboxes, load
from afx.node.postponed import Postponed
from afx.node.references import Reference
from afx.tasks.kinds import rule_replay
from afx.telegram.session import MalformedPositionError

ALL = rule_replay.ReplayArguments(rule=1, first=1, last=2**31 - 1)
SOURCE, TO = -1_000_000_000_005, -1_000_000_000_006


def old(count: int) -> list[str]:
    return [f"old {it}" for it in range(1, count + 1)]


async def replay(run: ReplayRun) -> Any:
    return await rule_replay.run(run, ALL)  # type: ignore[arg-type]


def at(moment: datetime) -> SimpleNamespace:
    """Return a clock that can be set."""
    now = SimpleNamespace(time=moment.timestamp())
    now.clock = Clock(time=lambda: now.time)
    return now


def test_caps_hold_for_old_messages_and_what_is_new_waits_with_them() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        now = at(datetime.now(UTC).replace(minute=10))
        harness.clock = now.clock
        say(sandbox, source, *old(8))
        more = {"options": {"caps": {"per_hour": 5}}}
        session = harness.session(account, (source, to, "copy", more))
        await session.start()
        task = asyncio.create_task(replay(ReplayRun(session)))
        await until(lambda: texts(to) == old(5))
        say(sandbox, source, "new")
        await until(lambda: bool(list(session.forwarder.later.waiting())))
        assert texts(to) == old(5) and not task.done()
        now.time += 3_600
        session.forwarder.later.backfills.wake()
        assert (await task).copied == 8
        await until(lambda: texts(to) == [*old(8), "new"])
        await session.stop()

    run_scenario(scenario)


def test_a_message_that_is_too_new_for_the_rules_delay_is_waited_for() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        now = at(datetime.now(UTC))
        harness.clock = now.clock
        say(sandbox, source, *old(3))
        more = {"options": {"delay": 3_600}}
        session = harness.session(account, (source, to, "copy", more))
        await session.start()
        task = asyncio.create_task(replay(ReplayRun(session)))
        await until(lambda: bool(session.forwarder.later.backfills))
        [it] = session.forwarder.later.backfills
        await until(lambda: it.not_before > 0)
        assert texts(to) == []
        now.time += 4_000
        session.forwarder.later.backfills.wake()
        await task
        assert texts(to) == old(3)
        await session.stop()

    run_scenario(scenario)


def test_an_album_that_lies_across_two_pages_is_sent_as_one() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        world = sandbox.server.world
        say(sandbox, source, *old(38))
        for _ in range(4):
            world.post(source, 0, "", media=world.files.add(b"photo", is_photo=True), grouped=77)
        say(sandbox, source, "last")
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        assert (await replay(ReplayRun(session))).copied == 43
        copies = list(to.box.messages.values())
        assert [it.text for it in copies] == [*old(38), *[""] * 4, "last"]
        assert len({it.grouped for it in copies[38:42]}) == 1 and copies[38].grouped
        await session.stop()

    run_scenario(scenario)


def test_digests_and_reviews_let_old_messages_through_by_themselves() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        too = sandbox.channel(posters=(account,))
        say(sandbox, source, *old(3))
        session = harness.session(
            account,
            (source, to, "copy", {"options": {"digest": {"every": 3_600, "zone": "UTC"}}}),
            (source, too, "copy", {"options": {"review": True}}),
        )
        await session.start()
        await replay(ReplayRun(session))
        await rule_replay.run(ReplayRun(session), ALL.model_copy(update={"rule": 2}))  # type: ignore[arg-type]
        assert texts(to) == texts(too) == old(3)
        await session.stop()

    run_scenario(scenario)


def test_the_senders_of_a_rule_post_its_old_messages_in_order_with_new_ones(
    redis_url: str, redis: redis_module.Redis, home: Path
) -> None:
    async def scenario(fleet: Fleet) -> None:
        source, to = pool(fleet)
        say(fleet.sandbox, source, *old(50))
        await all_on(fleet, "w1")
        session = fleet.hosts["w1"]._residents.session(OWNER)
        assert session is not None
        # The owner reads; it posts nothing, and is told of the destination by the rule alone.
        run = ReplayRun(session)
        wanted = [(source.marked, 1, 0, 50)]
        await run.backfill(1, [to.marked], wanted, (0, 0))
        await until(lambda: len(texts(to)) >= 5)
        fleet.sandbox.server.faults.add_flood(fleet.account(A).id, to.marked, 30)
        say(fleet.sandbox, source, "new")
        await until(lambda: len(texts(to)) == 51)
        assert texts(to) == [*old(50), "new"]
        assert set(authors(fleet, to)) == {A, B}
        await until(lambda: not session.forwarder.outboxes.has(to.marked))
        found = await run.backfill(1, [to.marked], wanted, (0, 0))
        assert found.copied == 50

    on_nodes(redis, redis_url, home, scenario)


def test_copies_do_not_go_back_to_where_they_came_from() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        say(sandbox, source, *old(5))
        session = harness.session(account, (source, to, "copy"))
        await session.start()

        async def copies(*_: object) -> dict[int, Passed]:
            here = frozenset({to.marked})
            own, other = Passed(True, frozenset()), Passed(False, frozenset({-5}))
            return {2: own, 3: Passed(False, here), 4: other}

        linked = session.forwarder.admission.linked
        judge: Any = SimpleNamespace(copies=copies, linked=linked)
        session.forwarder.backfiller._judge = judge
        assert (await replay(ReplayRun(session))).copied == 3
        assert texts(to) == ["old 1", "old 4", "old 5"]
        await session.stop()

    run_scenario(scenario)


# --- without a session ---------------------------------------------------------------------


def delivery(message: int, op: Op = "send", rule: int = 1) -> Delivery:
    return Reference(rule, "copy", SOURCE, message, op=op).delivery(TO)


def job(**more: Any) -> Backfill:
    return Backfill(5, 1, TO, [Range(SOURCE, 1, 0, 10)], **more)


class Bench:
    """What is postponed, and what was let go."""

    def __init__(self, fields: dict[str, str] | None = None) -> None:
        self.released: list[int] = []
        self.later = Postponed(
            lambda: 1_000.0,
            lambda it: bool(self.released.append(it.message) or True),
            lambda: None,
            lambda _rule, _text: None,
            lambda _rule, _to: 0,
        )
        self.later.load(fields or {})
        self.later.use_routes({SOURCE: (Route(1, TO, "copy"), Route(2, TO, "copy"))}, {})
        self.later.start()

    def offer(self, message: int, rule: int = 1) -> str:
        raw = SimpleNamespace(date=datetime.fromtimestamp(0, UTC) + timedelta(seconds=900))
        source = Incoming(SOURCE, message, "text", (), False, raw)
        return self.later.offer(delivery(message, rule=rule), source)

    def stored(self) -> dict[str, str]:
        fields = self.later.take_fields()
        assert all(
            text == "" or _FIELD.fullmatch(f"{name}={text}")
            for name, text in zip(fields[::2], fields[1::2], strict=True)
        )
        return {it: of for it, of in zip(fields[::2], fields[1::2], strict=True) if of}


def in_loop(scenario: Any) -> None:
    async def main() -> None:
        scenario()

    asyncio.run(main())


def test_what_the_last_batch_of_an_earlier_run_may_have_sent_is_not_taken_out() -> None:
    made = Outbox(TO)
    for message in range(1, 71):
        made.append(delivery(message))
    loaded = load(dict(zip(*[iter(made.take_fields())] * 2, strict=True)))[TO]
    for ticket in loaded.begin(2):
        ticket.open = 0
    loaded.advance()
    loaded.append(delivery(71))
    assert [it.message for it in loaded.drop(lambda it: it.message > 45)] == [*range(51, 72)]
    assert [it.message for it in loaded.references()] == [*range(3, 51)]
    assert [it.message for it in made.drop(lambda it: it.message < 70)] == [*range(1, 70)]


def test_what_another_task_had_left_in_the_outbox_is_not_read_by_this_one() -> None:
    it = Backfill(5, 1, TO, [Range(SOURCE, 100, 120, 130)])
    it.take_back(Reference(1, "copy", SOURCE, at, judge=True, old=True) for at in (7, 115, 118))
    assert it.ranges == [Range(SOURCE, 100, 114, 130)]


def test_only_the_same_rule_waits_and_goes_on_waiting_after_a_restart() -> None:
    def scenario() -> None:
        it = Bench()
        it.later.backfills.add(job())
        assert (it.offer(11), it.offer(11, rule=2)) == ("later", "now")
        assert it.later.is_due_soon()
        it.later._turn()
        assert it.released == []
        fields = it.stored()
        again = Bench(fields)
        assert again.offer(12) == "later"
        [found] = again.later.backfills
        found.stage = Stage.SENDS
        again.later.let_go(found)
        again.later._turn()
        assert again.released == [11, 12] and again.offer(13) == "now"

    in_loop(scenario)


def test_what_waits_twice_leaves_the_queue_and_its_changes_go_to_the_lane() -> None:
    def scenario() -> None:
        it = Bench()
        mine = job()
        it.later.backfills.add(mine)
        for number in (3, 4, 11):
            it.offer(number)
        mine.doubles.add((SOURCE, 3))
        mine.ranges[0].beyond = 3
        assert not it.later.follow(delivery(3, "edit"))
        assert it.later.follow(delivery(4, "edit")) and it.later.follow(delivery(11, "edit"))
        mine.stage = Stage.SENDS
        it.later.let_go(mine)
        it.later._turn()
        assert it.released == [4, 11]

    in_loop(scenario)


def test_a_position_is_stored_as_it_is_and_removed_again() -> None:
    them = Backfills(lambda: None)
    mine = job(copied=3, refused=1)
    mine.ranges[0].beyond = 7
    them.add(mine)
    [name, text] = them.take_fields()
    assert (name, text) == (f"backfill:1:{TO}", f"5:r:3:1;{SOURCE}:1:7:10")
    assert _FIELD.fullmatch(f"{name}={text}")
    [found] = take_backfills({name: text}).values()
    assert (found.task, found.stage, found.copied, found.refused) == (5, Stage.READS, 3, 1)
    assert found.ranges == mine.ranges and found.waiting is None
    assert them.take_fields() == []
    them.put_back()
    assert them.take_fields() == []
    them.mark_all()
    assert them.take_fields() == [name, text]
    them.put_back()
    assert them.take_fields() == [name, text], "it could not be stored"
    them.remove(mine)
    assert them.take_fields() == [name, ""]
    them.mark_all()
    assert them.take_fields() == [name, ""], "an older copy may bring it back"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "5:r:3:1",
        "5:q:3:1;-5:1:7:10",
        "5:r:3;-5:1:7:10",
        "5:r:3:1;-5:1:7",
        f"5:r:3:1;-5:1:7:{2**31}",
    ],
)
def test_a_malformed_position_is_refused(text: str) -> None:
    with pytest.raises(MalformedPositionError):
        take_backfills({f"backfill:1:{TO}": text})
    with pytest.raises(MalformedPositionError):
        take_backfills({"backfill:x": "5:r:3:1;-5:1:7:10"})


def test_what_an_earlier_run_has_put_into_the_outbox_is_found_again() -> None:
    mine = job()
    mine.ranges[0].beyond = 4
    mine.find_waiting(
        Reference(rule, "copy", source, message, True, op, old=old)
        for rule, source, message, op, old in (
            (1, SOURCE, 3, "send", True),
            (1, SOURCE, 2, "edit", False),
            (2, SOURCE, 1, "send", True),
            (1, SOURCE, 4, "send", True),
            (1, SOURCE, 1, "send", False),  # it is live
        )
    )
    assert list(mine.waiting or ()) == [(SOURCE, 3), (SOURCE, 4)]
    assert mine.settled_up_to(mine.ranges[0]) == 2
    mine.take_back([Reference(1, "copy", SOURCE, 4, True, old=True)])
    assert (list(mine.waiting or ()), mine.ranges[0].beyond) == ([(SOURCE, 3)], 3)


def test_an_old_message_that_came_by_itself_too_is_not_taken_out_again() -> None:
    outboxes, them, mine = Outboxes(), Backfills(lambda: None), job()
    them.add(mine)
    for number in (3, 4, 5):
        outboxes.of(TO).append(Reference(1, "copy", SOURCE, number, True, old=True).delivery(TO))
    mine.find_waiting(outboxes.waiting_for(TO))
    them.claim(delivery(4), outboxes)
    them.claim(delivery(5, "edit"), outboxes)
    them.claim(delivery(5, rule=2), outboxes)
    outboxes.of(TO).drop(mine.has_put)
    assert [(it.message, it.judge) for it in outboxes.waiting_for(TO)] == [(4, True)]


@pytest.mark.parametrize(
    ("ranges", "is_covered"),
    [
        ([Range(SOURCE, 1, 0, 10)], True),
        ([Range(SOURCE, 1, 7, 9)], True),
        ([Range(SOURCE, 1, 0, 11)], False),
        ([Range(SOURCE, 2, 1, 10)], False),
        ([Range(SOURCE, 1, 0, 10), Range(TO, 1, 0, 1)], False),
        ([], True),
    ],
)
def test_a_backfill_is_the_one_that_a_task_wants_if_it_has_all_of_it(
    ranges: list[Range], is_covered: bool
) -> None:
    assert covers(job(), ranges) is is_covered
