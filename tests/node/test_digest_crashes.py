"""A node dies at each step of a digest's way: nothing is lost, and nothing comes twice."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from support.digests import Bench, sent
from support.following import settled
from support.sandbox import SandboxHarness, run_scenario
from support.sessions import say

from afx.node import lane, lane_sender
from afx.node.session import HostedSession
from afx.sandbox.judge.flow import delete, edit

Step = Callable[[Bench, HostedSession, pytest.MonkeyPatch], Awaitable[None]]


def store(it: Bench, session: HostedSession, *beginnings: str) -> None:
    """Let the node die after it has stored only these fields of its cursor."""
    fields = session.collect_uncommitted().cursor
    for name, value in zip(fields[::2], fields[1::2], strict=True):
        if name.startswith(beginnings):
            it.harness.progress[name] = value


async def collected_but_the_cursor_is_not_stored(
    it: Bench, session: HostedSession, _patch: pytest.MonkeyPatch
) -> None:
    store(it, session, "later:")


async def in_its_outbox_and_still_among_what_waits(
    it: Bench, session: HostedSession, patch: pytest.MonkeyPatch
) -> None:
    patch.setattr(lane.Lane, "_start", lambda _: None)
    it.pass_a_day(session)
    store(it, session, "outbox:", "channel:")


async def laid_out_and_not_sent(
    it: Bench, session: HostedSession, patch: pytest.MonkeyPatch
) -> None:
    reached = hold(patch, is_sent=False)
    it.pass_a_day(session)
    await reached.wait()


async def sent_and_not_answered(
    it: Bench, session: HostedSession, patch: pytest.MonkeyPatch
) -> None:
    reached = hold(patch, is_sent=True)
    it.pass_a_day(session)
    await reached.wait()


async def sent_answered_and_nothing_of_it_stored(
    it: Bench, session: HostedSession, patch: pytest.MonkeyPatch
) -> None:
    it.pass_a_day(session)
    await sent(session, it.to)


async def linked_and_the_end_not_stored(
    it: Bench, session: HostedSession, patch: pytest.MonkeyPatch
) -> None:
    it.pass_a_day(session)
    await sent(session, it.to)
    it.harness.links.store(session.collect_uncommitted().links)
    it.account.sent.clear()  # Telegram has forgotten the random ids


async def some_linked_and_the_others_not(
    it: Bench, session: HostedSession, _patch: pytest.MonkeyPatch
) -> None:
    it.pass_a_day(session)
    await sent(session, it.to)
    it.harness.links.store(session.collect_uncommitted().links[1:])  # of the last digest
    it.account.sent.clear()


def hold(patch: pytest.MonkeyPatch, *, is_sent: bool) -> asyncio.Event:
    """Let the node hang at its first send, before or after Telegram has it."""
    send, reached = lane_sender.send, asyncio.Event()

    async def hung(*batch: Any, **options: Any) -> None:
        if is_sent:
            await send(*batch, **options)
        reached.set()
        await asyncio.Event().wait()

    patch.setattr(lane_sender, "send", hung)
    return reached


@pytest.mark.parametrize(
    "step",
    [
        collected_but_the_cursor_is_not_stored,
        in_its_outbox_and_still_among_what_waits,
        laid_out_and_not_sent,
        sent_and_not_answered,
        sent_answered_and_nothing_of_it_stored,
        linked_and_the_end_not_stored,
        some_linked_and_the_others_not,
    ],
)
def test_a_crash_at_a_step_loses_and_doubles_nothing_whatever_changes_meanwhile(
    step: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane, "_DRAIN_SECONDS", 0.01)

    async def scenario(sandbox: SandboxHarness) -> None:
        it = Bench(sandbox)
        it.harness.store = it.store
        session = await it.start()
        await it.store(session)
        say(sandbox, it.source, *(f"{number} " + "x" * 200 for number in range(20)))
        await settled(session, it.source)
        if step is not collected_but_the_cursor_is_not_stored:
            await it.store(session)
        with monkeypatch.context() as patch:
            await step(it, session, patch)
            it.harness.may_write = False  # not a byte reaches Telegram any more
            await session.stop()
            it.harness.may_write = True
        # What has become shorter, or is gone, may not let other entries into a digest.
        edit(sandbox.server, it.source.marked, 0, 3, "2 edited")
        delete(sandbox.server, it.source.marked, 0, [5])
        say(sandbox, it.source, "20 later")
        again = await it.start(dict(it.harness.progress))
        await settled(again, it.source)
        await it.send(again)
        numbers = [entry.split()[0] for entry in it.entries()]
        was_sent = step not in (
            collected_but_the_cursor_is_not_stored,
            in_its_outbox_and_still_among_what_waits,
            laid_out_and_not_sent,
        )
        assert numbers == [str(number) for number in range(21) if number != 4 or was_sent]
        assert not it.harness.dead and not it.harness.lost
        await again.stop()
        left = it.harness.commit(again)
        assert not [name for name in left if name.startswith(("outbox:", "later:"))]

    run_scenario(scenario)
