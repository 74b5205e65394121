"""The MTProto layer without tasks: what is sent together, what is handled, what ends it."""

from __future__ import annotations

import asyncio
import struct
from typing import Any

import pytest
from support.mtproto_line import KEY, Container, FakeConnection, Line, note, run, turn
from telethon.errors import AuthKeyNotFound, InvalidBufferError
from telethon.network.mtprotostate import MAX_RECENT_MSG_IDS
from telethon.tl import functions, types
from telethon.tl.core import GzipPacked, TLMessage

from afx.telegram.mtproto import Sender
from afx.telegram.mtproto_state import RecentIds

PING = functions.PingRequest(7)


# --- out -------------------------------------------------------------------------------------


def test_what_is_sent_in_one_turn_of_the_loop_goes_out_in_one_packet() -> None:
    async def scenario(line: Line) -> None:
        for number in (1, 2, 3):
            line.sender.send(functions.PingRequest(number))
        await turn()
        [packet] = line.sent
        assert [it.ping_id for it in packet] == [1, 2, 3]

    run(scenario)


def test_acknowledgements_go_out_with_the_next_request() -> None:
    async def scenario(line: Line) -> None:
        first, second = line.push(types.UpdatesTooLong()), line.push(types.UpdatesTooLong())
        await turn()
        assert not line.sent
        line.sender.send(PING)
        await turn()
        [[ping, ack]] = line.sent
        assert ping.ping_id == 7
        assert ack.msg_ids == [first, second]

    run(scenario)


def test_many_acknowledgements_wait_for_no_request() -> None:
    async def scenario(line: Line) -> None:
        ids = [line.push(types.UpdatesTooLong()) for _ in range(100)]
        await turn()
        [[ack]] = line.sent
        assert ack.msg_ids == ids

    run(scenario)


def test_nothing_is_written_while_the_transport_has_no_room() -> None:
    async def scenario(line: Line) -> None:
        line.connection.is_full = True
        line.sender.send(PING)
        await turn()
        assert not line.sent
        line.connection.is_full = False
        line.sender.flush()  # as the connection does
        assert len(line.sent) == 1

    run(scenario)


def test_a_burst_that_is_too_large_for_one_packet_keeps_its_order() -> None:
    async def scenario(line: Line) -> None:
        sent = [functions.PingRequest(it) for it in range(500)]
        line.sender.send(sent)
        await turn()
        assert len(line.sent) > 1
        assert [it.ping_id for packet in line.sent for it in packet] == list(range(500))

    run(scenario)


# --- in --------------------------------------------------------------------------------------


def test_an_answer_ends_its_request() -> None:
    async def scenario(line: Line) -> None:
        future = line.sender.send(PING)
        await turn()
        [[asked]] = line.connection.written
        line.push(types.Pong(asked.msg_id, 7))
        assert (await future).ping_id == 7
        config = line.sender.send(functions.help.GetAppConfigRequest(0))
        await turn()
        line.answer(line.connection.written[-1][0], bytes(types.help.AppConfigNotModified()))
        assert isinstance(await config, types.help.AppConfigNotModified)

    run(scenario)


def test_an_update_is_handed_on_at_once_in_a_container_too_and_zipped() -> None:
    async def scenario(line: Line) -> None:
        inner = [TLMessage(line.next_id(), 1, it) for it in (types.UpdatesTooLong(), note(9))]
        line.push(Container(inner))
        assert [type(it) for it in line.updates] == [types.UpdatesTooLong, types.UpdateShort]
        line.push(GzipPacked(bytes(types.UpdatesTooLong())))
        assert len(line.updates) == 3

    run(scenario)


def test_a_message_that_fails_does_not_hide_the_others_of_its_packet() -> None:
    async def scenario(line: Line) -> None:
        taken = []

        def take(update: Any) -> None:
            taken.append(update)
            raise ValueError("a defect")

        line.sender.put_nowait = take
        line.push(Container([TLMessage(line.next_id(), 1, note(it)) for it in (1, 2)]))
        assert [it.update.channel_id for it in taken] == [1, 2]

    run(scenario)


def test_a_message_that_arrives_twice_is_taken_once() -> None:
    async def scenario(line: Line) -> None:
        older, newer = line.push(note(1)), line.push(note(2))
        line.push(note(2), newer)
        line.push(note(1), older)
        assert [it.update.channel_id for it in line.updates] == [1, 2]

    run(scenario)


def test_only_the_last_ids_are_remembered() -> None:
    ids = RecentIds()
    for it in range(2 * MAX_RECENT_MSG_IDS):
        ids.append(it)
    remembered = [it for it in range(2 * MAX_RECENT_MSG_IDS) if it in ids]
    assert remembered == list(range(MAX_RECENT_MSG_IDS, 2 * MAX_RECENT_MSG_IDS))
    ids.clear()
    assert MAX_RECENT_MSG_IDS not in ids
    assert 1 not in RecentIds()


def test_a_new_session_of_the_server_is_told_like_an_update() -> None:
    async def scenario(line: Line) -> None:
        line.push(types.NewSessionCreated(1, 2, 77))
        assert line.sender._state.salt == 77
        assert isinstance(line.updates[0], types.NewSessionCreated)

    run(scenario)


def test_what_had_a_wrong_salt_is_sent_again_with_the_right_one() -> None:
    """An acknowledgement as well as a request."""

    async def scenario(line: Line) -> None:
        line.push(types.UpdatesTooLong())
        future = line.sender.send(PING)
        await turn()
        [[ping, ack]] = line.connection.written
        for it in (ping, ack):
            line.push(types.BadServerSalt(it.msg_id, 0, 48, 99))
        await turn()
        again = line.sent[1]
        assert [type(it) for it in again[:2]] == [functions.PingRequest, types.MsgsAck]
        assert line.sender._state.salt == 99
        line.push(types.Pong(line.connection.written[1][0].msg_id, 7))
        await future

    run(scenario)


def test_packets_of_another_key_are_ignored() -> None:
    async def scenario(line: Line) -> None:
        line.connection.receiver.receive(bytes(100))
        line.push(note(1))
        assert len(line.updates) == 1

    run(scenario)


# --- the end ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("packet", "error"),
    [(struct.pack("<i", -404), AuthKeyNotFound), (struct.pack("<i", -429), InvalidBufferError)],
    ids=["unknown key", "flood"],
)
def test_an_error_of_the_transport_ends_the_connection(
    packet: bytes, error: type[Exception]
) -> None:
    async def scenario(line: Line) -> None:
        future = line.sender.send(PING)
        await turn()
        line.connection.receiver.receive(packet)
        line.push(note(1))
        with pytest.raises(error):
            await line.sender._disconnected
        with pytest.raises(error):
            await future
        assert not line.connection.is_open
        assert not line.updates
        with pytest.raises(ConnectionError):
            line.sender.send(PING)

    run(scenario)


def test_a_connection_that_takes_no_packet_ends_with_all_requests() -> None:
    async def scenario(line: Line) -> None:
        line.connection.refuses = ConnectionError("the lease has run out")
        futures = [line.sender.send(PING), line.sender.send(PING)]
        with pytest.raises(ConnectionError, match="lease"):
            await line.sender._disconnected
        for it in futures:
            with pytest.raises(ConnectionError):
                await it

    run(scenario)


def test_a_ping_without_an_answer_ends_the_connection_at_the_next_one() -> None:
    async def scenario(line: Line) -> None:
        line.sender._keepalive_ping(1)
        line.sender._keepalive_ping(2)
        await line.sender._disconnected
        assert not line.connection.is_open

    run(scenario)


def test_the_next_connection_begins_a_new_session_and_sends_nothing_of_the_last() -> None:
    async def scenario(line: Line) -> None:
        before = line.sender._state.id
        unsent = line.sender.send(PING)
        line.sender.lost(ConnectionError("cut"))
        await line.sender.disconnect()
        line.connection = FakeConnection()
        assert await line.sender.connect(line.connection)
        assert not await line.sender.connect(line.connection), "it is connected already"
        await turn()
        assert line.sender._state.id != before
        assert not line.sent
        with pytest.raises(ConnectionError, match="cut"):
            await unsent

    run(scenario)


def test_a_server_that_cannot_be_reached_is_tried_twice() -> None:
    async def scenario() -> None:
        tries = []

        class Unreachable(FakeConnection):
            async def connect(self, timeout: float | None = None) -> None:  # noqa: ASYNC109
                tries.append(timeout)
                raise OSError("no route")

        sender = Sender(KEY, print)
        with pytest.raises(ConnectionError, match="no route"):
            await sender.connect(Unreachable())
        await sender.disconnect()
        assert len(tries) == 2

    asyncio.run(scenario())
