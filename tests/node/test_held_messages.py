"""A rule with ``review`` holds each message until an operator approves it, and sends it once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support.following import settled
from support.sandbox import SandboxHarness, run_scenario, until
from support.sessions import SessionHarness, one_rule, say, texts
from telethon import errors
from telethon.tl import functions

from afx.cluster.held_content import HeldContent, decode
from afx.cluster.specs import RuleSpec
from afx.forwarding.options import compile_options
from afx.forwarding.pipeline import Incoming, deliveries
from afx.forwarding.rules import Route
from afx.node.approvals import approve
from afx.node.held_messages import HeldMessages
from afx.node.held_reports import HeldGone, HeldMessage
from afx.node.session import HostedSession
from afx.reasons import HeldEnd
from afx.sandbox.errors import RpcError
from afx.sandbox.judge.flow import delete, edit
from afx.sandbox.telegram.methods.call import HANDLERS
from afx.sandbox.telegram.peers import Channel
from afx.security.vault import Vault

REVIEW: dict[str, Any] = {"options": {"review": True}}
VAULT = Vault(["k" * 43])


class Desk:
    """What operators know: the newest report of each message."""

    def __init__(self, harness: SessionHarness, session: HostedSession) -> None:
        self.harness = harness
        self.session = session
        self.held: dict[int, HeldMessage] = {}
        self.ended: dict[int, HeldEnd] = {}
        self.events: list[tuple[str, int]] = []

    def read(self) -> None:
        self.harness.commit(self.session)
        reports, self.harness.held = self.harness.held, []
        for it in reports:
            if isinstance(it, HeldGone):
                self.ended |= dict.fromkeys(it.messages, it.end)
                self.events += [(it.end.value, number) for number in it.messages]
            else:
                self.held[it.message] = it
                self.events.append((it.event.value, it.message))

    async def shows(self, *numbers: int) -> None:
        def is_there() -> bool:
            self.read()
            return set(numbers) <= set(self.held)

        await until(is_there)

    def content(self, number: int) -> HeldContent:
        it = self.held[number]
        name = f"{it.rule}:{it.source}:{it.destination}:{number}"
        return decode(VAULT.open_held(it.content, of=name))

    async def approve(self, *numbers: int, at: HostedSession | None = None) -> Any:
        first = self.held[numbers[0]]
        found = await approve(
            at or self.session,
            first.rule,
            first.source,
            first.destination,
            {it: self.held[it].version for it in numbers},
        )
        self.read()
        return found


async def begin(
    sandbox: SandboxHarness, **options: Any
) -> tuple[Desk, Channel, Channel, SessionHarness]:
    harness, account, source, to = one_rule(sandbox)
    harness.sealer = VAULT
    more = {"options": {"review": True, **options}}
    session = harness.session(account, (source, to, "copy", more))
    await session.start()
    return Desk(harness, session), source, to, harness


def test_messages_are_held_and_those_that_are_approved_are_sent_in_their_order() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        desk, source, to, harness = await begin(sandbox)
        say(sandbox, source, "one", "two", "three")
        await desk.shows(1, 2, 3)
        await settled(desk.session, source)
        assert not texts(to)
        assert desk.content(2).text == "two"
        assert desk.content(2).link == f"https://t.me/c/{source.id}/2"
        assert "two" not in str(desk.held[2]), "it is sealed"
        found = await desk.approve(1, 3)
        assert (found.released, found.edited, found.deleted) == (2, 0, 0)
        await until(lambda: texts(to) == ["one", "three"])
        assert desk.ended == {1: HeldEnd.RELEASED, 3: HeldEnd.RELEASED}
        await desk.approve(2)
        await until(lambda: texts(to) == ["one", "three", "two"])
        assert not harness.troubles and not harness.dead
        await desk.session.stop()

    run_scenario(scenario)


def test_what_two_operators_approve_at_once_is_sent_once() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        desk, source, to, _ = await begin(sandbox)
        say(sandbox, source, "one", "two")
        await desk.shows(1, 2)
        await asyncio.gather(desk.approve(1, 2), desk.approve(2, 1), desk.approve(1))
        await until(lambda: len(texts(to)) == 2)
        desk.read()
        await desk.approve(1, 2)
        say(sandbox, source, "three")
        await desk.shows(3)
        await desk.approve(3)
        await until(lambda: texts(to) == ["one", "two", "three"])
        await desk.session.stop()

    run_scenario(scenario)


def test_the_content_is_what_the_rule_makes_of_the_message() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        harness.sealer = VAULT
        more = {**REVIEW, "transform": ({"footer": "see {link}"},)}
        session = harness.session(account, (source, to, "copy", more))
        await session.start()
        desk = Desk(harness, session)
        say(sandbox, source, "one")
        await desk.shows(1)
        wanted = f"one\nsee https://t.me/c/{source.id}/1"
        assert desk.content(1).text == wanted
        await desk.approve(1)
        await until(lambda: texts(to) == [wanted])
        await session.stop()

    run_scenario(scenario)


def test_an_edit_replaces_what_is_shown_and_what_was_not_seen_is_not_sent() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        desk, source, to, _ = await begin(sandbox)
        say(sandbox, source, "one", "two")
        await desk.shows(1, 2)
        first = desk.held[1]
        edit(sandbox.server, source.marked, 0, 1, "ONE")
        await until(lambda: desk.read() or ("edited", 1) in desk.events)
        assert desk.content(1).text == "ONE"
        seen, desk.held[1] = desk.held[1], first
        found = await desk.approve(1, 2)
        assert (found.released, found.edited) == (1, 1)
        await until(lambda: texts(to) == ["two"])
        assert ("again", 1) in desk.events and desk.held[1].version == seen.version
        await desk.approve(1)
        await until(lambda: texts(to) == ["two", "ONE"])
        await desk.session.stop()

    run_scenario(scenario)


def test_a_delete_ends_the_wait_also_one_that_nobody_told_of() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        desk, source, to, _ = await begin(sandbox)
        say(sandbox, source, "one", "two", "three")
        await desk.shows(1, 2, 3)
        delete(sandbox.server, source.marked, 0, [1])
        await until(lambda: desk.read() or desk.ended == {1: HeldEnd.DELETED})
        del source.box.messages[2]  # while it was away for long
        found = await desk.approve(2, 3)
        assert (found.released, found.deleted) == (1, 1)
        assert desk.ended[2] is HeldEnd.DELETED
        await until(lambda: texts(to) == ["three"])
        await desk.session.stop()

    run_scenario(scenario)


def test_what_is_deleted_while_it_waits_and_posted_again_is_no_duplicate() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        desk, source, to, _ = await begin(sandbox, dedupe=3_600)
        say(sandbox, source, "one", "two", "two")
        await desk.shows(1, 2)
        delete(sandbox.server, source.marked, 0, [1])
        say(sandbox, source, "one")
        await desk.shows(4)
        await settled(desk.session, source)
        assert set(desk.held) == {1, 2, 4}, "the third is a duplicate"
        await desk.approve(4)
        await until(lambda: texts(to) == ["one"])
        await desk.session.stop()

    run_scenario(scenario)


def test_nothing_is_lost_or_doubled_over_a_restart_and_a_move() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy", REVIEW))
        await session.start()
        before = harness.commit(session)
        desk = Desk(harness, session)
        say(sandbox, source, "one", "two", "three")
        await desk.shows(1, 2, 3)
        await settled(session, source)
        stored = harness.commit(session)
        await desk.approve(1)
        await until(lambda: texts(to) == ["one"])
        await session.stop()  # its links and its cursor are not stored
        again = harness.session(account, (source, to, "copy", REVIEW), cursors=stored)
        await again.start()
        desk.session = again
        await desk.approve(1, 2, 3)
        await until(lambda: texts(to) == ["one", "two", "three"])
        await settled(again, source)
        desk.read()
        await again.stop()
        # A copy of the cursor from before it all: what is replayed is linked.
        last = harness.session(account, (source, to, "copy", REVIEW), cursors=before)
        await last.start()
        await settled(last, source)
        assert texts(to) == ["one", "two", "three"]
        await last.stop()

    run_scenario(scenario)


def test_a_review_that_is_switched_on_or_off_needs_no_restart_and_releases_nothing() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        desk, source, to, _ = await begin(sandbox)
        say(sandbox, source, "one")
        await desk.shows(1)
        session = desk.session
        [rule] = session.spec.rules
        session.renew([_with(rule, {})])
        say(sandbox, source, "two")
        await until(lambda: texts(to) == ["two"])
        session.renew([_with(rule, {"review": {"expires": 60}})])
        say(sandbox, source, "three")
        await desk.shows(3)
        assert texts(to) == ["two"]
        await desk.approve(1, 3)
        await until(lambda: texts(to) == ["two", "one", "three"])
        await session.stop()

    run_scenario(scenario)


def _with(rule: RuleSpec, options: dict[str, Any]) -> RuleSpec:
    fields = {name: getattr(rule, name) for name in ("id", "sources", "destinations", "mode")}
    return RuleSpec(**fields, options=options)


def test_an_album_that_is_approved_is_sent_as_one() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        desk, source, to, _ = await begin(sandbox)
        files = sandbox.server.world.files
        for text in ("first", "second"):
            photo = files.add(text.encode(), is_photo=True)
            message, event = sandbox.server.world.post(source, 0, text, media=photo, grouped=77)
            sandbox.server.pushes.channel_event(source, event, message)
        await desk.shows(1, 2)
        assert desk.held[1].album == desk.held[2].album != 0
        assert desk.content(1).media == "photo"
        await desk.approve(1, 2)
        await until(lambda: texts(to) == ["first", "second"])
        assert len({it.grouped for it in to.box.messages.values()} - {None}) == 1
        await desk.session.stop()

    run_scenario(scenario)


def test_an_approval_that_cannot_be_carried_out_now_releases_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        desk, source, to, _ = await begin(sandbox)
        say(sandbox, source, "one")
        await desk.shows(1)

        def refuse(_call: Any, _request: Any) -> Any:
            raise RpcError(400, "CHANNEL_PRIVATE")

        request = functions.channels.GetMessagesRequest
        with monkeypatch.context() as patched:
            patched.setitem(HANDLERS, request, refuse)
            with pytest.raises(errors.RPCError):
                await desk.approve(1)
        desk.read()
        assert not desk.ended and not texts(to)
        await desk.approve(1)
        await until(lambda: texts(to) == ["one"])
        await desk.session.stop()

    run_scenario(scenario)


class Owner:
    def progressed(self) -> None:
        pass

    async def read(self, chat: int, ids: Any) -> list[Any]:
        raise NotImplementedError

    def put_approved(self, delivery: Any, message: Any) -> bool:
        raise NotImplementedError


def test_all_of_a_burst_is_reported_once_more_after_a_loss_and_memory_is_bounded() -> None:
    now = [100.0]
    route = Route(1, -9, "copy", options=compile_options(REVIEW["options"]))
    it = HeldMessages(Owner(), VAULT, lambda: 0.0, lambda: now[0])
    it.use_routes({-8: (route,)})

    def hold(count: int, text: str) -> None:
        for number in range(1, count + 1):
            message = Incoming(-8, number, text, (), False)
            [delivery] = deliveries(message, [route])
            assert it.takes(delivery, message)
        it.take()
        it.note_committed()

    hold(500, "text")
    now[0] += 890.0  # SQL is away
    it.mark_all()
    assert [report.message for report in it.take() if isinstance(report, HeldMessage)] == [
        *range(1, 501)
    ]
    it.note_committed()
    now[0] += 901.0
    it.forget_old()
    it.mark_all()
    assert not it.take()
    hold(1_000, "x" * 4_000)
    it.mark_all()
    assert 200 < len(it.take()) < 600


def test_what_could_not_be_stored_is_reported_by_the_next_commit_and_after_a_loss() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        desk, source, _to, _harness = await begin(sandbox)
        session = desk.session
        say(sandbox, source, "one")
        await settled(session, source)
        progress = session.collect_uncommitted()
        assert len(progress.held) == 1
        session.put_back(progress)
        again = session.collect_uncommitted()
        assert again.held == progress.held
        session.note_committed()
        session.mark_all_dirty()
        assert session.collect_uncommitted().held == progress.held
        await session.stop()

    run_scenario(scenario)
