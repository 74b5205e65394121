"""Messages that a rule collects are sent together, none lost and none twice, whatever dies."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from itertools import chain
from typing import Any

import pytest
from support.following import settled
from support.sandbox import SandboxHarness, run_scenario, until
from support.sessions import one_rule, say, texts

from afx.node import lane, lane_sender
from afx.node.session import HostedSession
from afx.sandbox.judge.flow import delete, edit
from afx.sandbox.telegram.peers import Channel

DAILY: dict[str, Any] = {"digest": {"every": 86_400}}


def put(sandbox: SandboxHarness, source: Channel, text: str, **fields: Any) -> None:
    message, event = sandbox.server.world.post(source, 0, text, **fields)
    sandbox.server.pushes.channel_event(source, event, message)


async def sent(session: HostedSession, to: Channel) -> None:
    """Wait until nothing waits for a destination any more."""
    outboxes, later = session.forwarder.outboxes, session.forwarder.later
    await until(lambda: not later.next_due() and not outboxes.has(to.marked))


class Bench:
    """One rule with digests, its chats, and a clock that can go ahead."""

    def __init__(self, sandbox: SandboxHarness, **more: Any) -> None:
        self.sandbox = sandbox
        self.harness, self.account, self.source, self.to = one_rule(sandbox)
        self.ahead = 0.0
        clock = self.harness.clock
        self.harness.clock = replace(clock, time=lambda: clock.time() + self.ahead)
        self.more = {"options": DAILY, **more}

    async def start(self, cursors: dict[str, str] | None = None) -> HostedSession:
        rule = (self.source, self.to, "copy", self.more)
        session = self.harness.session(self.account, rule, cursors=cursors)
        await session.start()
        return session

    async def restart(self, session: HostedSession) -> HostedSession:
        await session.stop()
        return await self.start(self.harness.commit(session))

    async def store(self, session: HostedSession) -> bool:
        """Store all, as a node does before it sends what has to be stored."""
        self.harness.commit(session)
        session.note_committed()
        return True

    def pass_a_day(self, session: HostedSession) -> None:
        self.ahead += 86_500.0
        session.forwarder.later._turn()

    async def send(self, session: HostedSession) -> None:
        """Let a day pass, and wait until nothing waits any more."""
        self.pass_a_day(session)
        await sent(session, self.to)

    def digests(self) -> list[list[str]]:
        """Return the entries of each digest, without their first lines."""
        parts = [text.split("\n\n")[1:] for text in texts(self.to)]
        return [[it.partition("\n")[2] or it for it in each] for each in parts]

    def entries(self) -> list[str]:
        """Return the entries of all digests."""
        return list(chain.from_iterable(self.digests()))


def test_what_is_collected_comes_as_one_message_as_it_is_by_then() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        it = Bench(sandbox)
        session = await it.start()
        say(sandbox, it.source, "one", "two", "three", "four")
        edit(sandbox.server, it.source.marked, 0, 2, "two, corrected")
        delete(sandbox.server, it.source.marked, 0, [3])
        await settled(session, it.source)
        await asyncio.sleep(0)
        assert not texts(it.to)
        assert session.forwarder.later.next_due()
        await it.send(session)
        assert it.digests() == [["one", "two, corrected", "four"]]
        assert texts(it.to)[0].startswith("3 messages, ")
        say(sandbox, it.source, "five")
        await settled(session, it.source)
        await it.send(session)
        assert it.digests() == [["one", "two, corrected", "four"], ["five"]]
        await session.stop()
        it.harness.commit(session)
        assert not it.harness.dead and not it.harness.troubles

    run_scenario(scenario)


def test_an_entry_has_exact_entities_the_name_of_its_source_a_link_and_its_media() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        it = Bench(sandbox, transform=({"replace": {"text": ["cap"], "with": "😀 cap"}},))
        session = await it.start()
        files = sandbox.server.world.files
        for name in ("a", "b"):
            media = files.add(name.encode(), is_photo=True)
            put(sandbox, it.source, "caption" if name == "a" else "", media=media, grouped=7)
        await settled(session, it.source)
        await it.send(session)
        [made] = it.to.box.messages.values()
        assert " [2 × photo]\n😀 caption" in made.text
        assert it.source.title in made.text
        assert made.media is None
        await session.stop()

    run_scenario(scenario)


def test_more_than_fits_into_one_message_comes_in_several_in_order() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        it = Bench(sandbox)
        session = await it.start()
        said = [f"{number} " + "x" * 240 for number in range(40)]
        say(sandbox, it.source, *said)
        await settled(session, it.source)
        await it.send(session)
        found = it.digests()
        assert len(found) == 3 and it.entries() == said
        assert all(len(text) <= 4_096 for text in texts(it.to))
        await session.stop()

    run_scenario(scenario)


def test_a_restart_a_move_and_a_flushed_redis_change_nothing() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        it = Bench(sandbox)
        session = await it.start()
        say(sandbox, it.source, "one", "two")
        await settled(session, it.source)
        session = await it.restart(session)
        put(sandbox, it.source, "three")
        await settled(session, it.source)
        it.harness.commit(session)
        session.note_committed()
        it.harness.progress.clear()  # Redis has lost its data
        session.mark_all_dirty()
        session = await it.restart(session)
        assert not texts(it.to)
        await it.send(session)
        assert it.digests() == [["one", "two", "three"]]
        await session.stop()
        stored = it.harness.commit(session)
        assert not [name for name in stored if name.startswith(("outbox:", "later:"))]

    run_scenario(scenario)


def test_what_was_due_while_no_node_ran_comes_at_once() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        it = Bench(sandbox)
        session = await it.start()
        say(sandbox, it.source, "one")
        await settled(session, it.source)
        await session.stop()
        stored = it.harness.commit(session)
        say(sandbox, it.source, "two")
        it.ahead = 90_000.0
        session = await it.start(stored)
        await until(lambda: it.entries() == ["one", "two"])
        await session.stop()

    run_scenario(scenario)


@pytest.mark.parametrize("options", [{}, {"digest": {"every": 60}}, {"replies": False}])
def test_what_waits_comes_in_a_digest_at_once_or_at_the_new_time_when_the_option_changes(
    options: dict[str, Any],
) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        it = Bench(sandbox)
        session = await it.start()
        say(sandbox, it.source, "one", "two")
        await settled(session, it.source)
        [spec] = session.spec.rules
        session.renew([replace(spec, options=options)])
        if "digest" in options:
            assert session.forwarder.later.next_due() <= it.harness.clock.time() + 63
            it.ahead += 70
            session.forwarder.later._turn()
        await until(lambda: it.digests() == [["one", "two"]])
        await sent(session, it.to)
        if "digest" not in options:
            say(sandbox, it.source, "three")
            await until(lambda: texts(it.to)[-1] == "three")
        await session.stop()

    run_scenario(scenario)


def test_what_waits_when_the_option_comes_is_in_the_next_digest() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        it = Bench(sandbox, options={"delay": 3_600})
        session = await it.start()
        say(sandbox, it.source, "one", "two")
        await settled(session, it.source)
        [spec] = session.spec.rules
        session.renew([replace(spec, options=DAILY)])
        say(sandbox, it.source, "three", "four")
        await settled(session, it.source)
        await it.send(session)
        assert it.entries() == ["one", "two", "three", "four"]
        await session.stop()

    run_scenario(scenario)


def test_a_digest_that_waits_in_its_lane_follows_edits_and_deletes() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        it = Bench(sandbox)
        session = await it.start()
        say(sandbox, it.source, "one", "two", "three")
        await settled(session, it.source)
        sandbox.server.faults.add_flood(it.account.id, it.to.marked, 1.0)
        it.pass_a_day(session)
        await until(lambda: bool(session.forwarder._digests._made))
        await until(lambda: session.forwarder.waits.left(it.to.marked) > 0)
        edit(sandbox.server, it.source.marked, 0, 1, "uno")
        delete(sandbox.server, it.source.marked, 0, [2])
        await settled(session, it.source)
        await sent(session, it.to)
        [[first, second, third]] = it.digests()
        assert (first, third) == ("uno", "three") and "two" not in second
        await session.stop()

    run_scenario(scenario)


def test_a_digest_that_is_refused_is_a_dead_letter_of_each_and_comes_when_it_is_retried() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        it = Bench(sandbox)
        session = await it.start()
        say(sandbox, it.source, "one", "two")
        await settled(session, it.source)
        with pytest.MonkeyPatch.context() as patch:
            refuse(patch)
            it.pass_a_day(session)
            await sent(session, it.to)
        it.harness.commit(session)
        [dead] = it.harness.dead
        assert dead.messages == (1, 2)
        session.forwarder.revive(1, it.source.marked, it.to.marked, [1, 2])
        await until(lambda: it.digests() == [["one", "two"]])
        await session.stop()

    run_scenario(scenario)


def refuse(patch: pytest.MonkeyPatch) -> None:
    from afx.telegram.sender import Outcome

    async def refused(_client: Any, batch: Any, _peer: Any, **_: Any) -> Any:
        return [Outcome("refused", reason="MESSAGE_EMPTY") for _ in batch]

    patch.setattr(lane_sender, "send", refused)


def test_a_copy_of_a_digest_is_deleted_in_time_and_not_changed_by_sync() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        it = Bench(sandbox, sync=("edits", "deletes"), options={**DAILY, "auto_delete": 3_600})
        session = await it.start()
        say(sandbox, it.source, "one", "two")
        await settled(session, it.source)
        it.pass_a_day(session)
        await until(lambda: bool(texts(it.to)))
        edit(sandbox.server, it.source.marked, 0, 1, "uno")
        delete(sandbox.server, it.source.marked, 0, [2])
        await settled(session, it.source)
        assert it.digests() == [["one", "two"]]
        it.ahead += 3_700
        session.forwarder.later._turn()
        await until(lambda: not texts(it.to))
        await session.stop()

    run_scenario(scenario)


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
