"""What an MTProto connection takes: each message once, and none is missed in silence."""

from __future__ import annotations

import asyncio
import struct
import time
from typing import Any

import pytest
from support.mtproto_line import Container, Line, Raw, note, run, turn
from telethon.tl import functions, types
from telethon.tl.core import TLMessage

from afx.sandbox.mtproto import messages
from afx.telegram import mtproto_state
from afx.telegram.mtproto_state import UpdatesMissed

UNKNOWN = Raw(struct.pack("<I", 0x12345678))


def channels(line: Line) -> list[int]:
    return [it.update.channel_id for it in line.updates if isinstance(it, types.UpdateShort)]


def acknowledged(line: Line) -> list[int]:
    return list(line.sender._unacknowledged or ())


def test_a_message_that_is_sent_again_in_a_container_is_taken_once_and_acknowledged() -> None:
    async def scenario(line: Line) -> None:
        again = line.push(note(1))
        line.push(Container([TLMessage(again, 1, note(1)), TLMessage(line.next_id(), 1, note(2))]))
        assert channels(line) == [1, 2]
        assert acknowledged(line).count(again) == 2

    run(scenario)


def test_a_message_of_a_container_that_is_sent_again_alone_is_taken_once() -> None:
    async def scenario(line: Line) -> None:
        inner = line.next_id()
        line.push(Container([TLMessage(inner, 1, note(1))]))
        line.push(note(1), inner)
        assert channels(line) == [1]
        assert acknowledged(line).count(inner) == 2

    run(scenario)


def test_a_message_of_an_unknown_constructor_hides_none_of_its_container() -> None:
    async def scenario(line: Line) -> None:
        future = line.sender.send(functions.help.GetAppConfigRequest(0))
        await turn()
        [[asked]] = line.connection.written
        answer = messages.pack_result(asked.msg_id, bytes(types.help.AppConfigNotModified()))
        inner = [TLMessage(line.next_id(), 1, it) for it in (UNKNOWN, note(5), Raw(answer))]
        line.push(Container(inner))
        assert isinstance(await future, types.help.AppConfigNotModified)
        assert channels(line) == [5]
        assert isinstance(line.updates[0], UpdatesMissed), "it may have been an update"
        assert {it.msg_id for it in inner} <= set(acknowledged(line))

    run(scenario)


@pytest.mark.parametrize(
    "body",
    [
        struct.pack("<Ii", 0x73F1F8DC, 2) + struct.pack("<qii", 5, 1, 4),
        struct.pack("<Ii", 0x73F1F8DC, 1) + struct.pack("<qii", 5, 1, 1 << 20),
        struct.pack("<Ii", 0x73F1F8DC, 1) + struct.pack("<qii", 5, 1, -4),
        struct.pack("<I", 0x3072CFA1) + b"\x03abc",
        b"",
    ],
    ids=["cut off", "too long", "negative", "not zipped", "empty"],
)
def test_a_message_that_cannot_be_read_means_that_updates_are_missing(body: bytes) -> None:
    async def scenario(line: Line) -> None:
        line.push(Raw(body))
        assert [type(it) for it in line.updates] == [UpdatesMissed]
        line.push(note(1))
        assert channels(line) == [1]
        assert line.sender.is_connected()

    run(scenario)


def test_an_answer_arrives_though_its_updates_cannot_be_handed_on() -> None:
    async def scenario(line: Line) -> None:
        taken: list[Any] = []

        def take(update: Any) -> None:
            taken.append(type(update))
            raise ValueError("a defect")

        line.sender.put_nowait = take
        future = line.sender.send(functions.messages.ReadMentionsRequest(types.InputPeerSelf()))
        await turn()
        line.answer(line.connection.written[0][0], bytes(types.messages.AffectedHistory(5, 1, 0)))
        assert (await future).pts == 5
        assert taken == [types.UpdateShort, UpdatesMissed]

    run(scenario)


def test_a_connection_on_which_nothing_can_be_taken_any_more_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Ahead:
        @staticmethod
        def time() -> float:
            return time.time() + 400

    async def scenario(line: Line) -> None:
        line.push(note(1))
        monkeypatch.setattr(mtproto_state, "time", Ahead)
        for _ in range(9):
            line.push(note(2))
        assert line.sender.is_connected()
        line.push(note(2))
        with pytest.raises(ConnectionError, match="another time"):
            await line.sender._disconnected
        assert channels(line) == [1]

    run(scenario)


def test_single_messages_that_are_ignored_end_nothing() -> None:
    async def scenario(line: Line) -> None:
        for it in range(30):
            line.push(note(it), line.next_id() - (600 << 32))
            line.push(note(it))
        await asyncio.sleep(0)
        assert line.sender.is_connected()
        assert channels(line) == list(range(30))

    run(scenario)
