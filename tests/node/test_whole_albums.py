"""An album is sent by one request, although its items come one by one."""

from __future__ import annotations

from typing import Any

import pytest
from support.sandbox import SandboxHarness, run_scenario, until
from support.sessions import RefusingHandler, one_rule, say, texts
from telethon.tl import functions

from afx.forwarding.pipeline import Delivery
from afx.node import lane_queue, queue_filler
from afx.node.lane_queue import ALBUM_SECONDS, LaneQueue
from afx.node.lane_sender import LaneSender
from afx.node.references import Reference
from afx.sandbox.telegram.peers import Channel
from afx.telegram.boxes import Box, Ticket
from afx.telegram.sender import requests

SOURCE, OTHER, TO = -1_000_000_000_005, -1_000_000_000_007, -1_000_000_000_006


def send(message: int, album: int = 0, *, source: int = SOURCE, rule: int = 1) -> Delivery:
    made = Reference(rule, "forward", source, message).delivery(TO)
    made.album = album
    return made


def queue(*deliveries: Delivery, now: float = 100.0) -> LaneQueue:
    made = LaneQueue()
    for it in deliveries:
        made.append(it, Ticket(5, 1, Box(0, 0, 0)), now)
    return made


def batch(of: LaneQueue, now: float, most: int = 50) -> tuple[list[int], float]:
    found, left = of.next_batch(most, now)
    return [it.message for it, _ in found], left


def test_an_album_waits_for_more_items_for_a_second() -> None:
    it = queue(send(1, 9), send(2, 9))
    assert batch(it, 100.25) == ([], 0.75)
    it.append(send(3, 9), Ticket(5, 1, Box(0, 0, 0)), 100.5)
    assert batch(it, 101.0) == ([], 0.5)
    assert batch(it, 100.5 + ALBUM_SECONDS) == ([1, 2, 3], 0.0)


def test_an_album_is_complete_with_ten_items_or_when_its_source_posts_on() -> None:
    assert batch(queue(*(send(number, 9) for number in range(10))), 100.0)[0] == list(range(10))
    assert batch(queue(send(1, 9), send(2)), 100.0)[0] == [1, 2]
    assert batch(queue(send(1, 9), send(2, 8)), 100.0) == ([1], 0.0)


def test_what_other_chats_post_passes_an_album_and_its_items_stay_together() -> None:
    it = queue(send(1, 9), send(7, source=OTHER), send(2, 9))
    assert batch(it, 100.5) == ([7], 0.0)
    assert it.pop()[0].message == 7
    it.append(send(8, source=OTHER), Ticket(5, 1, Box(0, 0, 0)), 100.6)
    it.append(send(3, 9), Ticket(5, 1, Box(0, 0, 0)), 100.6)
    assert batch(it, 101.7) == ([1, 2, 3, 8], 0.0)


def test_the_items_for_two_rules_are_not_mixed() -> None:
    it = queue(send(1, 9), send(1, 9, rule=2), send(2, 9), send(2, 9, rule=2))
    found, _ = it.next_batch(50, 200.0)
    assert [(each.rule, each.message) for each, _ in found] == [(1, 1), (1, 2), (2, 1), (2, 2)]


def test_no_batch_ends_within_an_album() -> None:
    singles = [send(number) for number in range(1, 46)]
    album = [send(number, 9) for number in range(46, 54)]
    it = queue(*singles, *album, send(54))
    assert batch(it, 200.0)[0] == list(range(1, 46))
    early = [send(number, 4, source=OTHER) for number in range(1, 9)]
    it = queue(*early, *singles, *album, send(54), now=200.0)
    assert batch(it, 200.0)[0] == list(range(1, 46))


def test_what_is_in_flight_is_joined_by_nothing() -> None:
    it = queue(send(1, 9), now=100.0)
    it.next_batch(50, 200.0)
    it.begin(1)
    it.append(send(7, source=OTHER), Ticket(5, 1, Box(0, 0, 0)), 200.0)
    it.append(send(2, 9), Ticket(5, 1, Box(0, 0, 0)), 200.0)
    assert [each.message for each, _ in it.entries()] == [1, 7, 2]


def test_a_lane_that_is_parked_in_mid_flight_keeps_its_order_and_what_has_begun() -> None:
    it = queue(send(1, 9), send(7), now=100.0)
    assert batch(it, 200.0)[0] == [1, 7]
    it.begin(2)
    it.append(send(2, 9), Ticket(5, 1, Box(0, 0, 0)), 200.0)
    it.keep_first([Ticket(0, 1, Box(0, 0, 0)) for _ in range(3)])
    assert [each.message for each, _ in it.entries()] == [1, 7, 2]
    assert it.pop()[0].message == 1 and it.pop()[0].message == 7


def test_an_item_is_not_sent_together_with_what_may_have_been_sent() -> None:
    it = queue(send(1, 9), send(2, 9), now=100.0)
    it.next_batch(50, 200.0)
    it.begin(2)
    it.append(send(3, 9), Ticket(5, 1, Box(0, 0, 0)), 200.0)
    assert batch(it, 300.0)[0] == [1, 2]


def test_a_lane_that_waits_for_an_album_is_at_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        runs: list[int] = []
        run = LaneSender.run

        async def counted(self: LaneSender) -> None:
            runs.append(1)
            await run(self)

        monkeypatch.setattr(LaneSender, "run", counted)
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        put(sandbox, source, 5, "a")
        await until(lambda: texts(to) == ["a"])
        assert len(runs) <= 5
        await session.stop()

    run_scenario(scenario)


def test_a_request_of_forwards_ends_before_an_album_that_it_cannot_hold() -> None:
    made = [send(number) for number in range(1, 96)]
    made += [send(number, 9) for number in range(96, 104)]
    assert [count for count, _ in requests(made, lambda chat: chat)] == [95, 8]


def put(sandbox: SandboxHarness, source: Channel, album: int, *captions: str) -> None:
    world = sandbox.server.world
    for caption in captions:
        media = world.files.add(f"{album} {caption}".encode(), is_photo=True)
        message, event = world.post(source, 0, caption, media=media, grouped=album)
        sandbox.server.pushes.channel_event(source, event, message)


def albums(channel: Channel) -> list[list[str]]:
    found: dict[Any, list[str]] = {}
    for it in channel.box.messages.values():
        found.setdefault(it.grouped or it.id, []).append(it.text)
    return list(found.values())


@pytest.mark.parametrize(
    "rule", [("copy", {}), ("forward", {}), ("copy", {"transform": [{"header": "h"}]})]
)
def test_items_that_come_one_by_one_arrive_as_one_album(rule: Any) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, *rule))
        await session.start()
        cursor = session.reader.channels[source.id].cursor
        for caption in ("a", "b", "c"):
            put(sandbox, source, 5, caption)
            await until(lambda: session.reader.channels[source.id].pts == source.box.pts)
        assert session.reader.channels[source.id].cursor == cursor
        await until(lambda: len(texts(to)) == 3)
        assert len(albums(to)) == 1
        say(sandbox, source, "behind it")
        await until(lambda: len(texts(to)) == 4)
        await session.stop()

    run_scenario(scenario)


def test_an_album_that_a_stop_finds_incomplete_arrives_whole_afterwards() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        put(sandbox, source, 5, "a", "b")
        await until(lambda: session.reader.channels[source.id].pts == source.box.pts)
        await session.stop()
        harness.commit(session)
        assert texts(to) == []
        put(sandbox, source, 5, "c")
        session = harness.session(account, (source, to, "copy"), cursors=harness.progress)
        await session.start()
        await until(lambda: len(texts(to)) == 3)
        assert albums(to) == [["a", "b", "c"]]
        await session.stop()

    run_scenario(scenario)


def test_an_album_whose_files_have_expired_is_sent_as_an_album(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    album = functions.messages.SendMultiMediaRequest
    made = RefusingHandler(monkeypatch, album, *[(400, "FILE_REFERENCE_1_EXPIRED")] * 2)
    read = RefusingHandler(monkeypatch, functions.channels.GetMessagesRequest)

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy", {"transform": [{"header": "h"}]}))
        await session.start()
        put(sandbox, source, 5, "a", "b", "c")
        say(sandbox, source, "behind it")
        await until(lambda: len(texts(to)) == 4)
        assert [len(it) for it in albums(to)] == [3, 1] and len(made.requests) == 3
        assert [len(it.id) for it in read.requests] == [3, 3], "all files are named anew"
        await session.stop()

    run_scenario(scenario)


def test_an_album_with_a_file_that_stays_expired_loses_that_one_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expired = (400, "FILE_REFERENCE_EXPIRED")
    RefusingHandler(monkeypatch, functions.messages.SendMultiMediaRequest, *[expired] * 4)
    RefusingHandler(monkeypatch, functions.messages.SendMediaRequest, *[expired] * 4)

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy", {"transform": [{"header": "h"}]}))
        await session.start()
        put(sandbox, source, 5, "a", "b")
        say(sandbox, source, "behind it")
        await until(lambda: len(texts(to)) == 2)
        assert texts(to) == ["h\nb", "h\nbehind it"]
        await session.stop()
        harness.commit(session)
        assert [it.messages for it in harness.dead] == [(1,)]

    run_scenario(scenario)


def test_a_lane_that_is_parked_while_it_waits_for_an_album_sends_it_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lane_queue, "ALBUM_SECONDS", 60.0)
    monkeypatch.setattr(queue_filler, "ALBUM_SECONDS", 60.0)

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        put(sandbox, source, 5, "a", "b")
        lane = session.forwarder._lane(to.marked)
        await until(lambda: len(lane) == 2)
        lane._park()
        put(sandbox, source, 5, "c")
        say(sandbox, source, "behind it")
        await until(lambda: len(texts(to)) == 4)
        assert albums(to) == [["a", "b", "c"], ["behind it"]]
        await session.stop()

    run_scenario(scenario)
