"""A node dies at each step of a message's way: nothing is lost, doubled or out of order.

What a dead node leaves is what it had committed: here the harness's links and cursor. Caps,
edits, deletes and albums that are cut have crash tests of their own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from support.sandbox import SandboxHarness, run_scenario, until
from support.sessions import SessionHarness, one_rule, say, texts

from afx.node import lane, lane_sender
from afx.node.session import HostedSession
from afx.sandbox.judge.flow import post
from afx.sandbox.telegram.peers import Account, Channel

EARLIER = ["one", "two"]
LATER = ["three", "a photo", "first of an album", "second of it", "four"]
WHILE_DOWN = "five"


@dataclass
class Bench:
    """One session, and the chats of its rule."""

    patch: pytest.MonkeyPatch
    sandbox: SandboxHarness
    harness: SessionHarness
    session: HostedSession
    account: Account
    source: Channel
    to: Channel

    def publish(self) -> None:
        """Post texts, a photo and an album."""
        say(self.sandbox, self.source, LATER[0])
        for text, album in zip(LATER[1:4], (None, 7, 7), strict=True):
            photo = self.sandbox.server.world.files.add(text.encode(), is_photo=True)
            post(self.sandbox.server, self.source.marked, 0, text, media=photo, grouped=album)
        say(self.sandbox, self.source, LATER[4])

    async def copied(self) -> None:
        await until(lambda: len(texts(self.to)) == len(EARLIER + LATER))
        box = self.session.reader.channels[self.source.id]
        await until(lambda: box.cursor == self.source.box.pts)

    def forget_random_ids(self) -> None:
        """Let Telegram forget which sends it has had, so that it hinders no double."""
        self.account.sent.clear()


async def between_update_and_send(it: Bench) -> None:
    """The update is taken, and its send has not left."""
    reached = asyncio.Event()

    async def never(*_: Any, **__: Any) -> None:
        reached.set()
        await asyncio.Event().wait()

    it.patch.setattr(lane_sender, "send", never)
    it.publish()
    await reached.wait()


async def between_send_and_answer(it: Bench) -> None:
    """Telegram has made the copies, and nobody has seen its answers."""
    send, reached = lane_sender.send, asyncio.Event()

    async def deaf(*batch: Any, **options: Any) -> None:
        await send(*batch, **options)
        reached.set()
        await asyncio.Event().wait()

    it.patch.setattr(lane_sender, "send", deaf)
    it.publish()
    await reached.wait()


async def between_answer_and_link(it: Bench) -> None:
    """The answers are known, and nothing of them is stored."""
    it.publish()
    await it.copied()


async def between_link_and_cursor(it: Bench) -> None:
    """The links are stored, and the cursor is not; Telegram remembers nothing."""
    it.publish()
    await it.copied()
    it.harness.links.store(it.session.collect_uncommitted().links)
    it.forget_random_ids()


async def between_some_links_and_the_others(it: Bench) -> None:
    """Of an album one link is stored, and the other is not; Telegram remembers the rest."""
    it.publish()
    await it.copied()
    links = it.session.collect_uncommitted().links
    it.harness.links.store(links[:3])


async def between_journal_and_cursor(it: Bench) -> None:
    """What waits is journaled, and the cursor has not passed it."""
    it.patch.setattr(lane, "_PARK_SECONDS", 0.0)
    it.sandbox.server.faults.add_flood(it.account.id, it.to.marked, 1.0)
    it.publish()
    await until(lambda: it.session.forwarder.outboxes.has(it.to.marked))
    box = it.session.reader.channels[it.source.id]
    await until(lambda: box.cursor == it.source.box.pts)
    fields = it.session.collect_uncommitted().cursor
    for name, value in zip(fields[::2], fields[1::2], strict=True):
        if name.startswith("outbox:") and value:
            it.harness.progress[name] = value
    assert len(it.harness.progress) > 1


STEPS: dict[str, Callable[[Bench], Awaitable[None]]] = {
    it.__name__: it
    for it in (
        between_update_and_send,
        between_send_and_answer,
        between_answer_and_link,
        between_link_and_cursor,
        between_some_links_and_the_others,
        between_journal_and_cursor,
    )
}


@pytest.mark.parametrize("mode", ["copy", "forward"])
@pytest.mark.parametrize("step", list(STEPS))
def test_a_crash_at_a_step_loses_doubles_and_reorders_nothing(
    step: str, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane, "_DRAIN_SECONDS", 0.01)

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, mode))
        await session.start()
        say(sandbox, source, *EARLIER)
        await until(lambda: texts(to) == EARLIER)
        box = session.reader.channels[source.id]
        await until(lambda: box.cursor == source.box.pts)
        harness.commit(session)
        session.note_committed()
        with monkeypatch.context() as patch:
            await STEPS[step](Bench(patch, sandbox, harness, session, account, source, to))
            harness.may_write = False  # not a byte reaches Telegram any more
            await session.stop()
            harness.may_write = True
        say(sandbox, source, WHILE_DOWN)
        again = harness.session(account, (source, to, mode), cursors=dict(harness.progress))
        await again.start()
        wanted = [*EARLIER, *LATER, WHILE_DOWN]
        await until(lambda: len(texts(to)) >= len(wanted))
        await until(lambda: again.has_caught_up)
        assert texts(to) == wanted
        stored = harness.commit(again)
        assert stored[f"channel:{source.id}"] == str(source.box.pts)
        assert not [name for name in stored if name.startswith("outbox:")]
        assert not harness.dead
        assert not harness.lost
        await again.stop()

    run_scenario(scenario)
