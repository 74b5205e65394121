"""What cannot be delivered is a dead letter, and what cannot be read now is tried again."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
import redis as redis_module
from support.sandbox import SandboxHarness, run_scenario, until
from support.sessions import RefusingHandler, SessionHarness, one_rule, say, texts
from telethon.tl import functions

from afx.cluster import keys, report_stream
from afx.cluster.connection import connect_async
from afx.cluster.reports import DeadLettered, DeadRevived
from afx.forwarding.pipeline import Delivery
from afx.node import lane, patience
from afx.node.committer import Committer
from afx.node.dead_letters import DeadGroup, DeadLetters
from afx.node.patience import Patience
from afx.node.progress import Progress
from afx.node.session import HostedSession
from afx.reasons import DeadReason
from afx.sandbox.errors import RpcError
from afx.sandbox.telegram.methods.call import HANDLERS
from afx.sandbox.telegram.peers import Account, Channel

GET = functions.channels.GetMessagesRequest
SEND = functions.messages.SendMessageRequest
MANY = [f"message {number}" for number in range(300)]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane, "_BACKOFF_MAX", 0.02)


def dead(harness: SessionHarness) -> dict[int, tuple[DeadReason | None, str, int]]:
    return {
        message: (it.reason, it.error, it.attempts)
        for it in harness.dead
        for message in it.messages
    }


async def with_outbox(
    sandbox: SandboxHarness, *more: tuple[Channel, str]
) -> tuple[SessionHarness, HostedSession, Account, Channel, Channel]:
    """Return a session of which ``MANY`` wait in an outbox, and which is not started."""
    harness, account, source, to = one_rule(sandbox)
    session = harness.session(account, (source, to, "copy"))
    await session.start()
    cursors = harness.commit(session)
    await session.stop()
    say(sandbox, source, *MANY)
    cursors[f"channel:{source.id}"] = str(source.box.pts)
    cursors |= {
        f"outbox:{to.marked}:0": f"1:c:{source.marked}:1-256",
        f"outbox:{to.marked}:1": f"1:c:{source.marked}:257-300",
    }
    harness.progress = dict(cursors)
    return (
        harness,
        harness.session(account, (source, to, "copy"), cursors=cursors),
        *(
            account,
            source,
            to,
        ),
    )


def refuse_messages(
    monkeypatch: pytest.MonkeyPatch, refused: set[int], error: str = "MSG_ID_INVALID"
) -> list[int]:
    """Refuse all requests that name one of these messages; returns how many each asked for."""
    asked: list[int] = []
    answer = HANDLERS[GET]

    def handle(call: Any, request: Any) -> Any:
        ids = {it.id for it in request.id}
        asked.append(len(ids))
        if ids & refused:
            raise RpcError(400, error)
        return answer(call, request)

    monkeypatch.setitem(HANDLERS, GET, handle)
    return asked


@pytest.mark.parametrize(
    "error", [(400, "CHANNEL_PRIVATE"), (403, "CHAT_FORBIDDEN"), (400, "NOBODY_KNOWS"), (500, "X")]
)
def test_a_passing_refusal_while_an_outbox_is_read_loses_nothing(
    monkeypatch: pytest.MonkeyPatch, error: tuple[int, str]
) -> None:
    RefusingHandler(monkeypatch, GET, *[error] * 3)

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, session, _account, source, to = await with_outbox(sandbox)
        await session.start()
        say(sandbox, source, "the last one")
        await until(lambda: len(texts(to)) > len(MANY))
        assert texts(to) == [*MANY, "the last one"]
        harness.commit(session)
        assert not harness.dead
        assert not session.rule_troubles
        await session.stop()

    run_scenario(scenario)


def test_one_message_that_is_refused_is_found_among_others_and_is_a_dead_letter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(patience, "MOST_TRIES", 3)
    asked = refuse_messages(monkeypatch, {80, 290})

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, session, _account, _source, to = await with_outbox(sandbox)
        await session.start()
        await until(lambda: len(texts(to)) == len(MANY) - 2)
        assert texts(to) == [it for at, it in enumerate(MANY, 1) if at not in (80, 290)]
        await until(lambda: not any("outbox:" in it for it in harness.commit(session)))
        wanted = (DeadReason.MESSAGE_UNREADABLE, "MSG_ID_INVALID", 3)
        assert dead(harness) == {80: wanted, 290: wanted}
        assert len(asked) < 60
        await session.stop()

    run_scenario(scenario)


def test_messages_of_a_source_that_stays_unreadable_are_dead_letters_and_others_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(patience, "MOST_TRIES", 3)

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, session, account, source, to = await with_outbox(sandbox)
        other = sandbox.channel(account)
        say(sandbox, other, *MANY[:40])
        cursors = dict(harness.progress)
        cursors[f"outbox:{to.marked}:1"] += f";2:c:{other.marked}:1-40"
        session = harness.session(
            account, (source, to, "copy"), (other, to, "copy"), cursors=cursors
        )
        asked = refuse_messages(monkeypatch, set(range(1, 301)), "CHANNEL_PRIVATE")
        real = HANDLERS[GET]
        monkeypatch.setitem(
            HANDLERS,
            GET,
            lambda call, request: (
                real(call, request)
                if request.channel.channel_id == source.id
                else other_answer(call, request)
            ),
        )
        await session.start()
        await until(lambda: len(texts(to)) == 40)
        assert texts(to) == MANY[:40]
        harness.commit(session)
        reason = DeadReason.SOURCE_UNREADABLE
        assert {it[:2] for it in dead(harness).values()} == {(reason, "CHANNEL_PRIVATE")}
        assert sorted(dead(harness)) == list(range(1, 301))
        assert len(asked) < 12, "it is asked for its messages in whole rounds"
        await session.stop()

    other_answer = HANDLERS[GET]
    run_scenario(scenario)


def test_a_message_that_was_copied_and_then_deleted_is_no_dead_letter() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, session, _account, source, to = await with_outbox(sandbox)
        await session.start()
        await until(lambda: len(texts(to)) == len(MANY))
        before = dict(harness.progress)
        await session.stop()
        harness.commit(session)  # links are stored, and the outbox is an older one
        source.box.messages.clear()
        again = harness.session(
            _account, (source, to, "copy"), cursors={**harness.progress, **before}
        )
        await again.start()
        await until(lambda: not any("outbox:" in it for it in harness.commit(again)))
        assert not harness.dead
        assert len(texts(to)) == len(MANY)
        await again.stop()

    run_scenario(scenario)


def test_what_waits_for_a_rule_that_forwards_elsewhere_by_now_is_a_dead_letter() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, _session, account, source, to = await with_outbox(sandbox)
        elsewhere = sandbox.channel(posters=(account,))
        session = harness.session(
            account, (source, elsewhere, "copy"), cursors=dict(harness.progress)
        )
        await session.start()
        await until(lambda: not any("outbox:" in it for it in harness.commit(session)))
        assert {it[0] for it in dead(harness).values()} == {DeadReason.RULE_CHANGED}
        assert {(it.rule, it.destination) for it in harness.dead} == {(1, to.marked)}
        assert sorted(dead(harness)) == list(range(1, 301))
        await session.stop()

    run_scenario(scenario)


def test_what_waits_for_a_rule_of_which_a_chat_is_unknown_now_is_kept() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, _session, account, source, to = await with_outbox(sandbox)
        session = harness.session(
            account, ("@nobody_here", to, "copy"), cursors=dict(harness.progress)
        )
        await session.start()
        await until(lambda: bool(harness.troubles))
        stored = {it for it in harness.commit(session) if it.startswith("outbox:")}
        assert len(stored) == 2
        assert not harness.dead
        assert str(source.marked) in harness.troubles[-1]
        await session.stop()

    run_scenario(scenario)


def test_a_message_that_is_refused_when_it_is_sent_is_a_dead_letter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    RefusingHandler(monkeypatch, SEND, (400, "MESSAGE_TOO_LONG"))

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        say(sandbox, source, "one")
        await until(lambda: harness.commit(session)[f"channel:{source.id}"] == "2")
        say(sandbox, source, "two")
        await until(lambda: texts(to) == ["two"])
        assert dead(harness) == {1: (DeadReason.MESSAGE_REFUSED, "MESSAGE_TOO_LONG", 1)}
        await session.stop()

    run_scenario(scenario)


def test_a_forward_whose_source_is_closed_for_a_moment_arrives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    forward = functions.messages.ForwardMessagesRequest
    RefusingHandler(monkeypatch, forward, *[(400, "CHANNEL_PRIVATE")] * 2)
    RefusingHandler(monkeypatch, GET, *[(400, "CHANNEL_PRIVATE")] * 2)

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "forward"))
        await session.start()
        say(sandbox, source, "one")
        await until(lambda: texts(to) == ["one"])
        assert not session.rule_troubles
        harness.commit(session)
        assert not harness.dead
        await session.stop()

    run_scenario(scenario)


def test_a_forward_whose_source_stays_closed_is_a_dead_letter_and_the_destination_is_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(patience, "MOST_TRIES", 3)
    forward = functions.messages.ForwardMessagesRequest
    RefusingHandler(monkeypatch, forward, *[(400, "CHANNEL_PRIVATE")] * 3)
    RefusingHandler(monkeypatch, GET, *[(400, "CHANNEL_PRIVATE")] * 3)

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "forward"))
        await session.start()
        say(sandbox, source, "one")
        await until(lambda: harness.commit(session)[f"channel:{source.id}"] == "2")
        say(sandbox, source, "two")
        await until(lambda: texts(to) == ["two"])
        assert dead(harness) == {1: (DeadReason.SOURCE_UNREADABLE, "CHANNEL_PRIVATE", 3)}
        assert not session.rule_troubles
        await session.stop()

    run_scenario(scenario)


# --- how they are stored -----------------------------------------------------------------


def delivery(message: int, to: int = -6) -> Delivery:
    return Delivery(1, "copy", -5, message, to, 1, "", (), False)


def test_dead_letters_are_grouped_in_their_order_and_come_back_if_they_are_not_stored() -> None:
    now = [0.0]
    made = DeadLetters(lambda: now[0])
    for message in (1, 2):
        made.add(delivery(message), DeadReason.MESSAGE_GONE)
    made.revive(delivery(1))
    made.report_revived()
    made.add(delivery(3, to=-7), DeadReason.MESSAGE_REFUSED, "X", 2)
    groups = made.take()
    assert groups == [
        DeadGroup(1, -5, -6, DeadReason.MESSAGE_GONE, "", 1, (1, 2)),
        DeadGroup(1, -5, -6, None, "", 0, (1,)),
        DeadGroup(1, -5, -7, DeadReason.MESSAGE_REFUSED, "X", 2, (3,)),
    ]
    made.put_back()
    made.add(delivery(4), DeadReason.MESSAGE_GONE)
    assert made.take() == [*groups, DeadGroup(1, -5, -6, DeadReason.MESSAGE_GONE, "", 1, (4,))]
    made.note_committed()
    assert made.take() == ()
    made.note_committed()
    made.mark_all()  # Redis has lost its data, perhaps before the leader has read them
    assert len(made.take()) == 4
    made.note_committed()
    now[0] += 61.0
    made.mark_all()
    assert made.take() == (), "the leader has read them, and an operator may have dropped them"


def test_what_dies_again_before_its_outbox_is_stored_is_not_reported_as_revived() -> None:
    made = DeadLetters(lambda: 0.0)
    made.revive(delivery(1))
    made.revive(delivery(2))
    made.add(delivery(1), DeadReason.MESSAGE_REFUSED)
    assert [(it.reason, it.messages) for it in made.take()] == [(DeadReason.MESSAGE_REFUSED, (1,))]
    made.note_committed()
    made.report_revived()
    assert [(it.reason, it.messages) for it in made.take()] == [(None, (2,))]


class _Session:
    """What a committer asks of a session."""

    session_id, epoch = 1, 7

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.put_backs = 0

    def collect_uncommitted(self) -> Progress:
        return self.progress

    def put_back(self, _: Progress) -> None:
        self.put_backs += 1

    def note_committed(self) -> None:
        pass


@pytest.mark.parametrize("owner", ["mine", "another", "nobody"])
def test_dead_letters_are_reported_in_the_call_that_moves_the_cursor_or_not_at_all(
    redis_url: str, redis: redis_module.Redis, owner: str
) -> None:
    if owner != "nobody":
        incarnation = "one" if owner == "mine" else "two"
        redis.hset(keys.assignment(1), mapping={"incarnation": incarnation, "epoch": 7})
    groups = [
        DeadGroup(3, -(10**12), 5, DeadReason.MESSAGE_REFUSED, "MEDIA_EMPTY", 2, (1, 2)),
        DeadGroup(3, -(10**12), 5, None, "", 0, (9,)),
    ]
    session = _Session(Progress(["account", "2:0:1"], [], {}, dead=groups))

    async def scenario(_: SandboxHarness) -> None:
        client = connect_async(redis_url)
        await Committer(client, "w1", "one", 30).commit([session])  # type: ignore[list-item]
        await client.aclose()

    run_scenario(scenario)
    batch = report_stream.read(redis, "0", block_seconds=0.01)
    assert bool(batch.reports) == (owner == "mine") == redis.exists(keys.cursor(1))
    assert session.put_backs == (owner == "nobody")
    if owner == "mine":
        first, second = batch.reports
        assert isinstance(first, DeadLettered) and isinstance(second, DeadRevived)
        assert (first.node, first.incarnation, first.epoch) == ("w1", "one", 7)
        assert (first.source, first.message_ids) == (-(10**12), (1, 2))
        assert (first.reason, first.error, first.attempts) == (groups[0].reason, "MEDIA_EMPTY", 2)
        assert second.message_ids == (9,)
    assert not json.loads(redis.get("afx:reports:refused:count") or "0")


# --- patience --------------------------------------------------------------------------


def test_a_refused_message_is_narrowed_down_to_and_then_tried_some_times() -> None:
    left = Patience()
    message = DeadReason.MESSAGE_UNREADABLE
    counts = []
    while (step := left.refused(5, message, left.size)) == "narrow":
        counts.append(left.size)
    assert counts == [100, 50, 25, 12, 6, 3, 1]
    assert step == "later"
    assert [left.refused(5, message, 1) for _ in range(patience.MOST_TRIES - 1)][-1] == "give up"


def test_after_a_success_all_patience_is_back() -> None:
    left = Patience()
    unreadable = DeadReason.SOURCE_UNREADABLE
    while left.refused(5, unreadable, 200) != "give up":
        pass
    left.settled(5, is_read=False)
    assert left.refused(5, unreadable, 200) == "give up", "the source is known to be closed"
    assert left.refused(6, unreadable, 200) == "later"
    left.passed({5})
    assert left.refused(5, unreadable, 200) == "later"


@pytest.mark.parametrize("seed", range(20))
def test_whatever_is_refused_each_message_is_read_or_given_up_once(seed: int) -> None:
    chance = random.Random(seed)
    bad = {it for it in range(1_000) if chance.random() < chance.choice((0.01, 0.9))}
    left, waiting, requests = Patience(), list(range(1_000)), 0
    read: list[int] = []
    given_up: list[int] = []
    while waiting:
        part = waiting[: left.size]
        requests += 1
        if bad.isdisjoint(part):
            left.passed({5})
            read += part
            waiting = waiting[len(part) :]
        elif left.refused(5, DeadReason.MESSAGE_UNREADABLE, len(part)) == "give up":
            left.settled(5, is_read=False)
            given_up += part
            waiting = waiting[len(part) :]
        assert requests < 20_000
    assert sorted(read + given_up) == list(range(1_000))
    assert bad.isdisjoint(read)
