"""The end of an MTProto connection: nothing waits for it for ever, and none stays open."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from support.mtproto_line import KEY, FakeConnection, Line, note, run, turn
from telethon.tl import functions, types

from afx.telegram.mtproto import Sender

PING = functions.PingRequest(7)
CUT = ConnectionError("cut")


def pings(count: int) -> list[Any]:
    return [functions.PingRequest(it) for it in range(count)]


class Slow(FakeConnection):
    """A connection that takes some turns of the loop to open and to close."""

    async def connect(self, timeout: float | None = None) -> None:  # noqa: ASYNC109
        await turn()
        await super().connect(timeout)

    async def disconnect(self) -> None:
        await turn()
        await super().disconnect()


async def ended(futures: list[Any]) -> list[Any]:
    """Return how each ends."""
    return await asyncio.gather(*futures, return_exceptions=True)


# --- requests ---------------------------------------------------------------------------------


async def sent_in_the_same_turn(line: Line) -> list[Any]:
    return line.sender.send(pings(3))


async def sent_while_there_is_no_room(line: Line) -> list[Any]:
    line.connection.is_full = True
    futures = line.sender.send(pings(3))
    await turn()
    return futures


@pytest.mark.parametrize("send", [sent_in_the_same_turn, sent_while_there_is_no_room])
def test_a_request_that_was_not_written_ends_with_the_connection(
    send: Callable[[Line], Awaitable[list[Any]]],
) -> None:
    async def scenario(line: Line) -> None:
        futures = await send(line)
        line.sender.lost(CUT)
        assert await ended(futures) == [CUT] * 3
        assert not line.sent

    run(scenario)


def test_a_burst_of_which_a_packet_is_refused_ends_as_a_whole() -> None:
    async def scenario(line: Line) -> None:
        line.connection.refuses = CUT
        assert await ended(line.sender.send(pings(250))) == [CUT] * 250

    run(scenario)


def test_a_disconnect_ends_what_was_not_sent() -> None:
    async def scenario(line: Line) -> None:
        line.connection.is_full = True
        future = line.sender.send(PING)
        await line.sender.disconnect()
        assert future.cancelled()

    run(scenario)


def test_a_disconnect_that_is_cancelled_goes_on_and_leaves_nothing_waiting() -> None:
    async def scenario(line: Line) -> None:
        line.connection.__class__ = Slow
        future = line.sender.send(PING)
        whole = line.sender._disconnected
        task = asyncio.ensure_future(line.sender.disconnect())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({whole, future})
        assert task.cancelled()
        assert not line.connection.is_open

    run(scenario)


def test_nothing_is_taken_while_the_connection_ends() -> None:
    async def scenario(line: Line) -> None:
        line.sender.lost(CUT)
        assert not line.sender.is_connected()
        with pytest.raises(ConnectionError):
            line.sender.send(PING)

    run(scenario)


def test_nobody_is_blamed_for_not_looking_at_a_lost_ping_or_connection() -> None:
    reported: list[str] = []

    async def scenario(line: Line) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _loop, context: reported.append(context["message"]))
        line.sender._keepalive_ping(1)
        await turn()
        line.sender.lost(CUT)
        await line.sender.disconnect()
        line.sender._MTProtoSender__disconnected = None

    run(scenario)
    gc.collect()
    assert not reported


# --- sessions ---------------------------------------------------------------------------------


def test_a_connection_after_a_disconnect_is_a_session_of_its_own_and_acknowledges_nothing() -> None:
    async def scenario(line: Line) -> None:
        before = line.sender._state.id
        line.push(note(1))
        await line.sender.disconnect()
        line.connection = FakeConnection()
        await line.sender.connect(line.connection)
        assert line.sender._state.id != before
        line.sender.send(PING)
        await turn()
        [[only]] = line.sent
        assert isinstance(only, functions.PingRequest)

    run(scenario)


# --- connections that overlap -----------------------------------------------------------------


def overlapping(scenario: Callable[[Sender, Slow, Slow], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(60):
            sender, first, second = Sender(KEY, print), Slow(), Slow()
            await scenario(sender, first, second)
            await sender.disconnect()
            assert not first.is_open
            assert not second.is_open
            assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(bounded())


def test_of_two_connects_at_once_one_connects() -> None:
    async def scenario(sender: Sender, first: Slow, second: Slow) -> None:
        assert await asyncio.gather(sender.connect(first), sender.connect(second)) == [True, False]
        assert first.is_open
        assert not second.is_open

    overlapping(scenario)


def test_a_disconnect_ends_a_connect_that_is_under_way() -> None:
    async def scenario(sender: Sender, first: Slow, _second: Slow) -> None:
        connect = asyncio.ensure_future(sender.connect(first))
        await asyncio.sleep(0)
        await sender.disconnect()
        with pytest.raises(ConnectionError, match="disconnected"):
            await connect
        assert not first.is_open
        assert not sender.is_connected()

    overlapping(scenario)


def test_a_connect_that_is_cancelled_leaves_no_connection() -> None:
    async def scenario(sender: Sender, first: Slow, _second: Slow) -> None:
        for turns in range(8):
            connect = asyncio.ensure_future(sender.connect(first))
            for _ in range(turns):
                await asyncio.sleep(0)
            if not connect.cancel():
                break
            with pytest.raises(asyncio.CancelledError):
                await connect
            await sender.disconnect()
            assert not first.is_open

    overlapping(scenario)


def test_a_connect_waits_for_the_end_of_the_last_connection() -> None:
    async def scenario(sender: Sender, first: Slow, second: Slow) -> None:
        await sender.connect(first)
        sender.lost(CUT)
        assert await sender.connect(second)
        assert not first.is_open
        assert second.is_open
        sender.send(PING)
        await turn()
        assert len(second.written) == 1

    overlapping(scenario)


def test_a_connect_raises_what_ends_its_connection_at_once() -> None:
    class Lost(Slow):
        def deliver_to(self, receiver: Any) -> None:
            super().deliver_to(receiver)
            receiver.lost(CUT)

    async def scenario(sender: Sender, _first: Slow, _second: Slow) -> None:
        lost = Lost()
        with pytest.raises(ConnectionError, match="cut"):
            await sender.connect(lost)
        await sender.disconnect()
        assert not lost.is_open

    overlapping(scenario)


def test_a_missing_answer_does_not_outlive_its_connection() -> None:
    """Salt corrections name what was sent before: nothing of an earlier session is repeated."""

    async def scenario(line: Line) -> None:
        line.push(note(1))
        line.sender.send(PING)
        await turn()
        [[ping, ack]] = line.connection.written
        await line.sender.disconnect()
        line.connection = FakeConnection()
        await line.sender.connect(line.connection)
        for it in (ping, ack):
            line.push(types.BadServerSalt(it.msg_id, 0, 48, 99))
        await turn()
        assert not line.sent

    run(scenario)
