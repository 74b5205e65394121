"""What becomes of old messages that wait when their backfill is cancelled, paused or hindered."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support.following import settled
from support.replays import ReplayRun
from support.sandbox import SandboxHarness, run_scenario, until
from support.sessions import one_rule, say, texts

from afx.node import backfill_reader, backfilling
from afx.node.backfill_state import Range, Stage
from afx.node.references import Reference
from afx.node.session import HostedSession
from afx.sandbox.judge import flow
from afx.tasks.kinds import rule_replay
from afx.tasks.kinds.base import SnoozeError, TaskFailedError

ALL = rule_replay.ReplayArguments(rule=1, first=1, last=2**31 - 1)


def old(count: int) -> list[str]:
    return [f"old {it}" for it in range(1, count + 1)]


def begun(run: ReplayRun) -> asyncio.Task[Any]:
    return asyncio.create_task(rule_replay.run(run, ALL))  # type: ignore[arg-type]


async def cancelled(run: ReplayRun, task: asyncio.Task[Any]) -> None:
    """Cancel, or pause, a task: for its node that is the same."""
    run.is_cancelled = True
    task.cancel()
    await asyncio.wait({task})


def flooded(sandbox: SandboxHarness, account: Any, to: Any, seconds: float) -> None:
    sandbox.server.faults.add_flood(account.id, to.marked, seconds)


def waiting(session: HostedSession, to: Any) -> int:
    return session.forwarder.outboxes.of(to.marked).count


def test_what_telegram_has_refused_is_withdrawn_and_what_is_new_waits_alone() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        say(sandbox, source, *old(60))
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        flooded(sandbox, account, to, 3600.0)
        run = ReplayRun(session)
        task = begun(run)
        await until(lambda: session.forwarder.waits.left(to.marked) > 0)
        assert waiting(session, to) == 40
        say(sandbox, source, "live")
        await until(lambda: bool(list(session.forwarder.later.waiting())))
        await cancelled(run, task)
        assert not session.forwarder.later.backfills
        await until(lambda: not list(session.forwarder.later.waiting()))
        outbox = session.forwarder.outboxes.of(to.marked)
        assert [it.message for it in outbox.references()] == [61]
        assert (texts(to), run.cursor["settled"]) == ([], {str(source.marked): 0})
        await session.stop()

    run_scenario(scenario)


def test_a_resumed_replay_goes_on_where_it_was_behind_what_came_meanwhile() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        say(sandbox, source, *old(150))
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        run = ReplayRun(session)
        task = begun(run)
        await until(lambda: len(texts(to)) >= 20)
        await cancelled(run, task)
        say(sandbox, source, "live")
        await until(lambda: "live" in texts(to))
        await until(lambda: not session.forwarder.outboxes.has(to.marked))
        count = len(texts(to))
        assert texts(to) == [*old(count - 1), "live"] and count < 150
        run = ReplayRun(session, cursor=run.cursor)
        assert (await begun(run)).copied == 150
        assert texts(to) == [*old(count - 1), "live", *old(150)[count - 1 :]]
        await session.stop()

    run_scenario(scenario)


def test_what_was_read_waits_no_second_time_where_it_would_take_the_edits_that_come() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        rule = (source, to, "copy", {"sync": ("edits",)})
        session = harness.session(account, rule)
        await session.start()
        [it] = await held(session, source, to, 3)
        say(sandbox, source, "one", "two", "three")
        await until(lambda: len(list(session.forwarder.later.waiting())) == 3)
        it.ranges[0].beyond = 3  # as if it had read them before a restart
        assert it.doubles == set()
        session.forwarder.backfiller.end(it)
        assert not list(session.forwarder.later.waiting())
        await session.stop()

    run_scenario(scenario)


async def held(session: HostedSession, source: Any, to: Any, last: int) -> list[Any]:
    """Begin a backfill that reads nothing."""
    order = backfilling.Order(1, 1, [to.marked], [Range(source.marked, 1, 0, last)])
    await backfilling.backfill(session, order)
    found = list(session.forwarder.later.backfills)
    for it in found:
        it.is_frozen = False
    return found


def test_what_comes_while_the_last_message_is_chosen_waits_behind_the_old_ones() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        say(sandbox, source, *old(3))
        session = harness.session(account, (source, to, "copy"))
        await session.start()

        async def newest() -> int:
            say(sandbox, source, "while 4")
            await until(lambda: bool(list(session.forwarder.later.waiting())))
            say(sandbox, source, "while 5")
            return 4

        order = backfilling.Order(
            1,
            1,
            [to.marked],
            [Range(source.marked, 1, 0, 100)],
            newest={source.marked: newest},
        )
        found = await backfilling.backfill(session, order)
        assert found is not None and found.to == {source.marked: 4}
        await until(lambda: len(texts(to)) == 5)
        assert texts(to) == [*old(3), "while 4", "while 5"]
        await session.stop()

    run_scenario(scenario)


def test_what_is_new_does_not_wait_for_an_answer_that_telegram_does_not_give() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        say(sandbox, source, *old(3))
        session = harness.session(account, (source, to, "copy"))
        await session.start()

        async def newest() -> int:
            say(sandbox, source, "new")
            await until(lambda: bool(list(session.forwarder.later.waiting())))
            raise SnoozeError(300.0, "wait")

        wanted = [Range(source.marked, 1, 0, 100)]
        order = backfilling.Order(1, 1, [to.marked], wanted, newest={source.marked: newest})
        with pytest.raises(SnoozeError):
            await backfilling.backfill(session, order)
        await until(lambda: texts(to) == ["new"])
        assert not session.forwarder.later.backfills
        await session.stop()

    run_scenario(scenario)


def test_a_closed_destination_ends_a_replay_with_the_reason_and_a_retry_goes_on() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        say(sandbox, source, *old(50))
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        run = ReplayRun(session)
        task = begun(run)
        await until(lambda: len(texts(to)) >= 5)
        to.posters = ()
        with pytest.raises(TaskFailedError, match=r"takes no messages: CHAT_.* task retry 1"):
            await task
        count = len(texts(to))
        assert not session.forwarder.later.backfills
        to.posters = (account.id,)
        again = ReplayRun(session, cursor=run.cursor)
        assert (await begun(again)).copied == 50 and count < 50
        assert texts(to) == old(50)
        await session.stop()

    run_scenario(scenario)


def test_without_its_task_it_sends_nothing_more_and_keeps_the_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        say(sandbox, source, *old(120))
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        run = ReplayRun(session)
        task = begun(run)
        await until(lambda: len(texts(to)) >= 5)
        monkeypatch.setattr(backfill_reader, "_ALONE_SECONDS", -1.0)
        task.cancel()  # its node has no slot for it, say
        await asyncio.wait({task})
        [it] = session.forwarder.later.backfills
        session.forwarder.later.backfills.wake()
        await until(lambda: not it.waiting)
        say(sandbox, source, "new")
        await settled(session, source)
        count = len(texts(to))
        assert count < 120 and texts(to) == old(count)
        monkeypatch.undo()
        task = begun(ReplayRun(session, cursor=run.cursor))
        await task
        await until(lambda: len(texts(to)) == 121)
        assert texts(to) == [*old(120), "new"]
        await session.stop()

    run_scenario(scenario)


def test_what_came_by_itself_too_passes_no_old_message_while_the_task_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        say(sandbox, source, *old(60))
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        session.pause()  # nothing is sent
        [it] = await held(session, source, to, 60)
        reader, later = session.forwarder.backfiller, session.forwarder.later
        reader.freeze(it)
        await until(lambda: waiting(session, to) > 20)
        count, last = waiting(session, to), max(message for _, message in it.waiting)
        late = Reference(1, "copy", source.marked, last).delivery(to.marked)
        later.backfills.claim(late, session.forwarder.outboxes)
        monkeypatch.setattr(backfill_reader, "_ALONE_SECONDS", -1.0)
        await reader._advance(it)
        assert it.stage is Stage.READS and waiting(session, to) == count
        backfilling.end_now(session, {1: 0})
        assert waiting(session, to) == 1
        await session.stop()

    run_scenario(scenario)


def test_edits_of_what_was_withdrawn_are_seen_when_it_is_sent_after_all() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        say(sandbox, source, *old(6))
        session = harness.session(account, (source, to, "copy", {"sync": ("edits", "deletes")}))
        await session.start()
        session.pause()  # nothing is sent
        run = ReplayRun(session)
        task = begun(run)
        await until(lambda: waiting(session, to) == 6)
        flow.edit(sandbox.server, source.marked, 0, 2, "edited 2")
        await settled(session, source)
        await cancelled(run, task)
        flow.edit(sandbox.server, source.marked, 0, 3, "edited 3")
        flow.delete(sandbox.server, source.marked, 0, [5])
        await settled(session, source)
        left = session.forwarder.outboxes.of(to.marked).references()
        assert not any(it.op == "send" for it in left)
        session.resume()
        await begun(ReplayRun(session, cursor=run.cursor))
        wanted = ["old 1", "edited 2", "edited 3", "old 4", "old 6"]
        await until(lambda: texts(to) == wanted)
        await session.stop()

    run_scenario(scenario)


def test_a_session_that_learns_that_a_task_is_over_sends_nothing_more_for_it() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        await held(session, source, to, 9)
        say(sandbox, source, "new")
        await until(lambda: bool(list(session.forwarder.later.waiting())))
        [it] = session.forwarder.later.backfills
        it.publication = 3
        backfilling.end_now(session, {2: 9})
        backfilling.end_now(session, {1: 2})  # it is late: the task was resumed since
        assert session.forwarder.later.backfills
        backfilling.end_now(session, {1: 3, 2: 9})
        await until(lambda: texts(to) == ["new"])
        assert not session.forwarder.later.backfills
        await session.stop()

    run_scenario(scenario)


@pytest.mark.parametrize("end", ["cancelled", "closed"])
def test_what_came_by_itself_too_is_sent_whatever_ends_the_replay(end: str) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        session.pause()  # nothing is sent
        [it] = await held(session, source, to, 5)
        say(sandbox, source, "one", "two", "three")
        await until(lambda: len(list(session.forwarder.later.waiting())) == 3)
        reader = session.forwarder.backfiller
        reader.freeze(it)
        await until(lambda: it.stage is Stage.SENDS)
        assert waiting(session, to) == 3
        assert not list(session.forwarder.later.waiting())
        if end == "closed":
            reader._give_up(it, "closed")
        backfilling.end_now(session, {1: 0})
        assert waiting(session, to) == 3
        session.resume()
        await until(lambda: texts(to) == ["one", "two", "three"])
        await session.stop()

    run_scenario(scenario)
