"""Sessions that have missed a lot: they run at once, and forward all of it in order."""

from __future__ import annotations

import asyncio

import pytest
from support.sandbox import SandboxHarness, run_scenario, until
from support.sessions import RefusingHandler, SessionHarness, one_rule, say, texts
from telethon.tl import functions, types

from afx.node.start_gate import StartGate
from afx.sandbox.telegram.methods.call import HANDLERS
from afx.sandbox.telegram.peers import Account, Channel
from afx.telegram import difference_reader, updates
from afx.telegram.differences import SLICE

_MISSED = 6_000
_SECONDS = 120.0
"""A second of CPU, and nothing that waits: on a machine with thirty others it takes thirty."""


async def miss(
    sandbox: SandboxHarness, count: int
) -> tuple[SessionHarness, Account, Channel, Channel, list[str]]:
    """Let a session run once and stop, and then miss so many messages."""
    harness, account, source, to = one_rule(sandbox)
    session = harness.session(account, (source, to, "forward"))
    await session.start()
    await session.stop()
    harness.commit(session)
    wanted = [f"message {number}" for number in range(count)]
    say(sandbox, source, *wanted)
    return harness, account, source, to, wanted


def test_a_session_whose_backlog_cannot_be_sent_runs_and_forwards_its_other_sources() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to, _ = await miss(sandbox, _MISSED)
        other, quick = sandbox.channel(account), sandbox.channel(posters=(account,))
        sandbox.server.faults.add_flood(account.id, to.marked, 3600.0)
        rules = (source, to, "forward"), (other, quick, "copy")
        session = harness.session(account, *rules, cursors=harness.progress)
        await session.start()
        say(sandbox, other, "one", "two")
        await until(lambda: texts(quick) == ["one", "two"])
        assert texts(to) == []
        # All of it is in the outbox: the cursor has passed it.
        box = session.reader.channels[source.id]
        await until(lambda: box.cursor == source.box.pts and not box.tickets)
        assert len(session.forwarder.lanes[to.marked]) <= 50
        await session.stop()

    run_scenario(scenario, seconds=_SECONDS)


def test_a_long_backlog_is_forwarded_in_order_before_what_is_new() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to, wanted = await miss(sandbox, _MISSED)
        session = harness.session(account, (source, to, "forward"), cursors=harness.progress)
        await session.start()
        for number in range(50):
            say(sandbox, source, f"live {number}")
            wanted.append(f"live {number}")
            await asyncio.sleep(0)
        await until(lambda: len(texts(to)) >= len(wanted))
        assert texts(to) == wanted
        await session.stop()

    run_scenario(scenario, seconds=_SECONDS)


@pytest.mark.parametrize("is_killed", [False, True], ids=["stopped", "killed"])
def test_a_session_that_ends_again_and_again_in_its_backlog_loses_and_doubles_nothing(
    is_killed: bool,
) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to, wanted = await miss(sandbox, _MISSED)
        for part in range(1, 6):
            cursors = dict(harness.progress)
            session = harness.session(account, (source, to, "forward"), cursors=cursors)
            await session.start()
            await until(lambda part=part: len(texts(to)) >= part * 1_000)
            if is_killed:
                # What was committed last is older than what was sent.
                harness.commit(session)
                await until(lambda part=part: len(texts(to)) >= part * 1_000 + 100)
                await session.connection.close()
                await session.stop()
            else:
                await session.stop()
                harness.commit(session)
        session = harness.session(account, (source, to, "forward"), cursors=harness.progress)
        await session.start()
        await until(lambda: len(texts(to)) >= len(wanted))
        assert texts(to) == wanted
        await session.stop()

    run_scenario(scenario, seconds=_SECONDS)


def test_live_messages_beyond_the_bound_are_fetched_once_there_is_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(updates, "MOST_OPEN", 20)
    monkeypatch.setattr(difference_reader, "MOST_OPEN", 20)
    monkeypatch.setattr(difference_reader, "_SHARE", 10)
    monkeypatch.setattr("afx.telegram.boxes._MOST_WAITING", 15)

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        box = session.reader.channels[source.id]
        await until(lambda: not box.syncing)
        sandbox.server.faults.add_flood(account.id, to.marked, 2.0)
        wanted = [f"message {number}" for number in range(300)]
        for text in wanted:
            say(sandbox, source, text)
            await asyncio.sleep(0)
        await until(lambda: box.syncing)
        most = len(box.tickets) + len(box.waiting)
        await until(lambda: len(texts(to)) >= len(wanted))
        assert most <= 20 + SLICE + 15
        assert texts(to) == wanted
        await session.stop()

    run_scenario(scenario)


def test_an_account_difference_that_is_refused_does_not_keep_the_channels_from_being_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refusals = [(400, "PERSISTENT_TIMESTAMP_INVALID")] * 100
    RefusingHandler(monkeypatch, functions.updates.GetDifferenceRequest, *refusals)

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to, wanted = await miss(sandbox, 200)
        session = harness.session(account, (source, to, "forward"), cursors=harness.progress)
        await session.start()
        await until(lambda: texts(to) == wanted)
        assert "PERSISTENT_TIMESTAMP_INVALID" in harness.troubles
        await session.stop()

    run_scenario(scenario)


def test_an_empty_difference_that_is_not_the_last_one_is_not_asked_for_without_a_pause(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    request = functions.updates.GetChannelDifferenceRequest
    answers = 0

    def handle(call: object, _request: object) -> object:
        nonlocal answers
        answers += 1
        return types.updates.ChannelDifferenceEmpty(pts=1, final=False)

    monkeypatch.setitem(HANDLERS, request, handle)
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy"))
        monkeypatch.setattr(difference_reader, "_BACKOFF_SECONDS", 0.01)
        monkeypatch.setattr(
            updates.asyncio, "sleep", lambda it: pauses.append(it) or sleep(min(it, 0.05))
        )
        await session.start()
        await until(lambda: answers > 5)
        assert pauses.count(0.01) >= 1 and max(pauses) >= 0.08
        await session.stop()

    run_scenario(scenario)


def test_a_push_while_a_session_drains_starts_no_fetching() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        await until(lambda: session.reader.is_idle)
        await session.reader.stop()
        session.reader.on_updates(types.UpdatesTooLong())
        session.reader.sync_later(session.reader.channels[source.id])
        assert session.reader.is_idle
        await session.stop()

    run_scenario(scenario)


def test_a_start_that_waits_for_a_server_does_not_block_the_others() -> None:
    async def scenario() -> None:
        gate = StartGate(1, 0.01)
        async with asyncio.timeout(10), gate.admitted(), gate.admitted():
            pass
        # Each place was given back once.
        assert gate._places._value == 1

    asyncio.run(scenario())
