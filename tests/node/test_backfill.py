"""Old messages of a rule go out in order with new ones, once, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from support.following import settled
from support.replays import ReplayRun
from support.sandbox import SandboxHarness, run_scenario, until
from support.sessions import SessionHarness, one_rule, say, texts

from afx.node import backfill_reader, backfilling
from afx.node.backfill_pages import wanted
from afx.node.backfill_state import Range
from afx.node.session import HostedSession
from afx.sandbox.judge import flow
from afx.tasks.kinds import rule_replay
from afx.tasks.kinds.base import SnoozeError, TaskFailedError, TryAgainError

ALL = rule_replay.ReplayArguments(rule=1, first=1, last=2**31 - 1)


def old(count: int) -> list[str]:
    return [f"old {it}" for it in range(1, count + 1)]


async def begun(session: HostedSession, run: ReplayRun) -> asyncio.Task[Any]:
    """Start a replay; returns once the session has it, and its last message is chosen."""
    task = asyncio.create_task(rule_replay.run(run, ALL))  # type: ignore[arg-type]
    known = session.forwarder.later.backfills
    await until(lambda: any(it.is_frozen for it in known) or task.done())
    return task


def hold(sandbox: SandboxHarness, account: Any, to: Any, seconds: float = 3600.0) -> None:
    """Let nothing be sent to a chat."""
    sandbox.server.faults.add_flood(account.id, to.marked, seconds)


def test_what_is_new_waits_behind_what_is_old() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        say(sandbox, source, *old(150))
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        run = ReplayRun(session)
        task = await begun(session, run)
        await until(lambda: len(texts(to)) >= 20)
        say(sandbox, source, "new 1", "new 2")
        assert (await task).copied == 150
        say(sandbox, source, "new 3")
        await until(lambda: len(texts(to)) == 153)
        assert texts(to) == [*old(150), "new 1", "new 2", "new 3"]
        assert run.shares == sorted(run.shares) and run.shares[-1] == 1.0
        assert any(0.0 < it < 1.0 for it in run.shares)
        assert not session.forwarder.later.backfills
        await session.stop()

    run_scenario(scenario)


def test_a_few_wait_at_a_time_and_other_rules_pass_between_them() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        other = sandbox.channel(account)
        say(sandbox, source, *old(200))
        session = harness.session(account, (source, to, "copy"), (other, to, "copy"))
        await session.start()
        task = await begun(session, ReplayRun(session))
        most, is_said = 0, False
        while not task.done():
            most = max(most, session.forwarder.outboxes.of(to.marked).count)
            if len(texts(to)) >= 60 and not is_said:
                is_said = True
                say(sandbox, other, "other")
            await asyncio.sleep(0)
        await until(lambda: "other" in texts(to))
        assert [it for it in texts(to) if it != "other"] == old(200)
        assert texts(to).index("other") < 190
        assert most <= 55
        await session.stop()

    run_scenario(scenario)


def test_what_was_forwarded_before_and_what_comes_late_of_the_range_has_one_copy() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        say(sandbox, source, *old(30))
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        say(sandbox, source, "live 1", "live 2")
        await until(lambda: texts(to) == ["live 1", "live 2"])
        account.sent.clear()  # Telegram has forgotten the random ids
        done = await rule_replay.run(ReplayRun(session), ALL)  # type: ignore[arg-type]
        assert done.copied == 32
        assert texts(to) == ["live 1", "live 2", *old(30)]
        await rule_replay.run(ReplayRun(session), ALL)  # type: ignore[arg-type]
        assert len(texts(to)) == 32
        await session.stop()

    run_scenario(scenario)


@pytest.mark.parametrize("is_killed", [False, True], ids=["stopped", "killed"])
@pytest.mark.parametrize("commits", ["often", "at the start"])
def test_a_session_that_ends_again_and_again_goes_on(is_killed: bool, commits: str) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        rule = (source, to, "copy")
        say(sandbox, source, *old(160))
        session = harness.session(account, rule)
        storing(harness, session)
        await session.start()
        run = ReplayRun(session)
        task = await begun(session, run)
        for said, part in enumerate((15, 50, 90, 130), 1):
            await until(lambda part=part: len(texts(to)) >= part)
            say(sandbox, source, f"new {said}")
            if commits == "often":
                harness.commit(session)
            await until(lambda part=part: len(texts(to)) >= part + 5)
            task.cancel()
            await asyncio.wait({task})
            if is_killed:
                await session.forwarder.backfiller.stop()
                await session.forwarder.lanes.cancel()
                await session.connection.close()
                await session.stop()
            else:
                await session.stop()
                harness.commit(session)
            session = harness.session(account, rule, cursors=harness.progress)
            storing(harness, session)
            await session.start()
            run = ReplayRun(session, cursor=run.cursor)
            task = await begun(session, run)
        assert (await task).copied == 160
        await until(lambda: len(texts(to)) >= 164)
        assert texts(to) == [*old(160), *(f"new {it}" for it in range(1, 5))]
        await session.stop()

    run_scenario(scenario)


def storing(harness: SessionHarness, session: HostedSession) -> None:
    """Let a session's own commits be stored."""

    async def store(it: HostedSession) -> bool:
        harness.commit(it)
        it.note_committed()
        return True

    object.__setattr__(session._env, "store", store)


def test_a_cancel_lets_go_what_is_new_and_another_one_goes_on() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        say(sandbox, source, *old(200))
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        run = ReplayRun(session)
        task = await begun(session, run)
        await until(lambda: len(texts(to)) >= 20)
        say(sandbox, source, "new")
        run.is_cancelled = True
        task.cancel()
        await until(lambda: "new" in texts(to))
        count = len(texts(to))
        assert task.cancelled() and count <= 100
        say(sandbox, source, "newer")
        await until(lambda: texts(to)[count:] == ["newer"])
        await rule_replay.run(ReplayRun(session), ALL)  # type: ignore[arg-type]
        assert sorted(texts(to)) == sorted([*old(200), "new", "newer"])
        await session.stop()

    run_scenario(scenario)


def test_a_backfill_without_its_task_does_not_hold_back_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        say(sandbox, source, *old(100))
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        task = await begun(session, ReplayRun(session))
        await until(lambda: len(texts(to)) >= 5)
        hold(sandbox, account, to, 0.3)
        say(sandbox, source, "new")
        task.cancel()
        await asyncio.wait({task})
        assert session.forwarder.later.backfills
        monkeypatch.setattr(backfill_reader, "LEASE_SECONDS", -1.0)
        await until(lambda: "new" in texts(to))
        assert not session.forwarder.later.backfills
        assert texts(to)[:-1] == old(len(texts(to)) - 1)
        await session.stop()

    run_scenario(scenario)


def test_a_flood_wait_holds_it_up_and_does_not_end_it() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        say(sandbox, source, *old(60))
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        hold(sandbox, account, to, 0.5)
        task = await begun(session, ReplayRun(session))
        say(sandbox, source, "new")
        assert (await task).copied == 60
        await until(lambda: len(texts(to)) == 61)
        assert texts(to) == [*old(60), "new"]
        await session.stop()

    run_scenario(scenario)


def test_two_tasks_of_one_rule_take_turns_and_other_rules_are_free() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        say(sandbox, source, *old(80))
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        task = await begun(session, ReplayRun(session))
        with pytest.raises(SnoozeError):
            await rule_replay.run(ReplayRun(session, task=2), ALL)  # type: ignore[arg-type]
        await task
        await rule_replay.run(ReplayRun(session, task=2), ALL)  # type: ignore[arg-type]
        assert texts(to) == old(80)
        await session.stop()

    run_scenario(scenario)


def test_edits_and_deletes_meanwhile_are_seen_wherever_the_message_is() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        say(sandbox, source, *old(120))
        more = {"sync": ("edits", "deletes")}
        session = harness.session(account, (source, to, "copy", more))
        await session.start()
        task = await begun(session, ReplayRun(session))
        await until(lambda: len(texts(to)) >= 20)
        say(sandbox, source, "new 1", "new 2")
        server, at = sandbox.server, source.marked
        for number in (1, 30, 110, 121):
            flow.edit(server, at, 0, number, f"edited {number}")
        flow.delete(server, at, 0, [2, 35, 112, 122])
        await task
        wanted_now = [it.text for it in source.box.messages.values()]
        await until(lambda: texts(to) == wanted_now)
        assert len(wanted_now) == 118 and not harness.dead
        await session.stop()

    run_scenario(scenario)


def test_a_rule_that_is_changed_meanwhile_ends_it_and_says_why() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        say(sandbox, source, *old(200))
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        task = await begun(session, ReplayRun(session))
        await until(lambda: len(texts(to)) >= 10)
        session.forwarder.renew_routes({}, {})
        with pytest.raises(TaskFailedError, match="does not forward there any more"):
            await task
        assert not session.forwarder.later.backfills
        await session.stop()

    run_scenario(scenario)


def test_a_session_that_does_not_use_a_chat_is_asked_again_later() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        order = backfilling.Order(1, 1, [to.marked], [Range(source.marked, 1, 0, 5)])
        missing = replace(order, wanted=[*order.wanted, Range(-5, 1, 0, 5)])
        with pytest.raises(backfilling.NotUsedError):
            await backfilling.backfill(session, missing)
        session.forwarder.renew_routes({}, {})
        with pytest.raises(TryAgainError):
            await rule_replay.run(ReplayRun(session), ALL)  # type: ignore[arg-type]
        await session.stop()

    run_scenario(scenario)


def test_a_task_that_wants_something_else_by_the_same_number_gets_that() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        say(sandbox, source, *old(60))
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        order = backfilling.Order(1, 1, [to.marked], [Range(source.marked, 1, 0, 4)])
        await backfilling.backfill(session, order)
        await until(lambda: not session.forwarder.later.backfills.is_running)
        other = replace(order, wanted=[Range(source.marked, 5, 4, 8)])
        await backfilling.backfill(session, other)
        await until(lambda: texts(to) == old(8))
        await session.stop()

    run_scenario(scenario)


@pytest.mark.parametrize(
    ("ids", "to", "taken", "is_last"),
    [
        ([], 5, [], True),
        ([(1, 0), (2, 0)], 5, [1, 2], False),
        ([(1, 0), (2, 0)], 2, [1, 2], True),
        ([(1, 0), (2, 7), (3, 7), (4, 0)], 2, [1, 2, 3], True),
        ([*((it, 0) for it in range(1, 39)), (39, 7), (40, 7)], 50, list(range(1, 39)), False),
        ([*((it, 0) for it in range(1, 39)), (39, 7), (40, 7)], 39, list(range(1, 39)), False),
        ([*((it, 0) for it in range(1, 40)), (40, 7)], 39, list(range(1, 40)), True),
    ],
)
def test_a_page_has_whole_albums(
    ids: list[tuple[int, int]], to: int, taken: list[int], is_last: bool
) -> None:
    found = [SimpleNamespace(id=number, grouped_id=album or None) for number, album in ids]
    page, last = wanted(found, to)
    assert ([it.id for it in page], last) == (taken, is_last)


def test_what_is_new_and_in_the_range_is_sent_once_and_its_edits_count() -> None:
    """The session has seen it before the replay began to read, as one that was away does."""

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        say(sandbox, source, *old(5))
        session = harness.session(account, (source, to, "copy", {"sync": ("edits",)}))
        await session.start()
        gate = asyncio.Event()
        page = session.forwarder._source.page

        async def later(*arguments: Any) -> Any:
            await gate.wait()
            return await page(*arguments)

        session.forwarder.backfiller._source = SimpleNamespace(page=later)  # type: ignore[assignment]
        order = backfilling.Order(1, 1, [to.marked], [Range(source.marked, 1, 0, 7)])
        await backfilling.backfill(session, order)
        queue = session.forwarder.later
        say(sandbox, source, "new 6", "new 7", "new 8")
        await until(lambda: len(list(queue.waiting())) == 3)
        hold(sandbox, account, to, 0.5)
        gate.set()
        await until(lambda: session.forwarder.outboxes.of(to.marked).count == 8)
        flow.edit(sandbox.server, source.marked, 0, 7, "edited 7")
        await until(lambda: texts(to) == [*old(5), "new 6", "edited 7", "new 8"])
        flow.edit(sandbox.server, source.marked, 0, 6, "edited 6")
        await until(lambda: texts(to) == [*old(5), "edited 6", "edited 7", "new 8"])
        await session.stop()

    run_scenario(scenario)


@pytest.mark.parametrize("cut", range(6))
def test_a_commit_that_is_cut_anywhere_loses_doubles_and_reorders_nothing(cut: int) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        say(sandbox, source, *old(8))
        rule = (source, to, "copy")
        session = harness.session(account, rule)
        await session.start()
        gate = asyncio.Event()
        page = session.forwarder._source.page

        async def later(*arguments: Any) -> Any:
            await gate.wait()
            return await page(*arguments)

        session.forwarder.backfiller._source = SimpleNamespace(page=later)  # type: ignore[assignment]
        hold(sandbox, account, to, 0.3)
        order = backfilling.Order(1, 1, [to.marked], [Range(source.marked, 1, 0, 8)])
        await backfilling.backfill(session, order)
        say(sandbox, source, "new 1", "new 2")
        await until(lambda: len(list(session.forwarder.later.waiting())) == 2)
        harness.commit(session)
        gate.set()
        await until(lambda: session.forwarder.outboxes.of(to.marked).count >= 9)
        fields = session.collect_uncommitted().cursor
        pairs = list(zip(fields[::2], fields[1::2], strict=True))
        names = [name for name, _ in pairs]
        first = [at for at, name in enumerate(names) if name.startswith(("outbox", "first"))]
        last = names.index(f"backfill:1:{to.marked}")
        assert max(first) < last, "the outbox is stored before the position"
        harness.progress.update(pairs[:cut])
        harness.progress = {it: of for it, of in harness.progress.items() if of}
        await session.forwarder.backfiller.stop()
        await session.forwarder.lanes.cancel()
        await session.connection.close()
        await session.stop()
        session = harness.session(account, rule, cursors=harness.progress)
        await session.start()
        await until(lambda: len(texts(to)) >= 10)
        await settled(session, source)
        await until(lambda: not session.forwarder.outboxes.has(to.marked))
        assert texts(to) == [*old(8), "new 1", "new 2"]
        await session.stop()

    run_scenario(scenario)
