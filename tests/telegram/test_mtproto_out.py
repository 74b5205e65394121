"""What an MTProto connection sends: wanted requests only, and each acknowledgement in the end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support.mtproto_line import Line, ServerKey, note, run, turn
from telethon.errors import BadMessageError
from telethon.tl import functions, types

from afx.sandbox.mtproto import crypto

PING = functions.PingRequest(7)


def pings(count: int) -> list[Any]:
    return [functions.PingRequest(it) for it in range(count)]


def outer_ids(line: Line) -> list[int]:
    """Note the id of each packet from now on: that of the container, if it is one."""
    found: list[int] = []
    write = line.connection.write

    def noting(data: bytes) -> None:
        plain = crypto.decrypt(ServerKey, data)
        assert plain is not None
        found.append(crypto.HEADER.unpack_from(plain)[-3])
        write(data)

    line.connection.write = noting  # type: ignore[method-assign]
    return found


def acknowledged(line: Line) -> list[int]:
    acks = [it for packet in line.sent for it in packet if isinstance(it, types.MsgsAck)]
    return [it for ack in acks for it in ack.msg_ids]


# --- acknowledgements -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "refusal",
    [
        lambda it: types.BadServerSalt(it, 0, 48, 99),
        lambda it: types.BadMsgNotification(it, 0, 32),
    ],
    ids=["salt", "sequence"],
)
def test_acknowledgements_of_a_refused_container_are_sent_again(refusal: Any) -> None:
    async def scenario(line: Line) -> None:
        outer = outer_ids(line)
        ids = [line.push(note(it)) for it in range(3)]
        line.sender.send(PING)
        await turn()
        line.push(refusal(outer[0]))
        await turn()
        assert [type(it) for it in line.sent[1][:2]] == [functions.PingRequest, types.MsgsAck]
        assert line.sent[1][1].msg_ids == ids

    run(scenario)


def test_what_is_refused_again_is_sent_again() -> None:
    async def scenario(line: Line) -> None:
        outer = outer_ids(line)
        first = line.push(note(1))
        line.sender.send(PING)
        await turn()
        for it in range(2):
            line.push(types.BadServerSalt(outer[it], 0, 48, it))
            await turn()
            assert acknowledged(line).count(first) == it + 2
        pings_sent = [
            it for packet in line.sent for it in packet if isinstance(it, functions.PingRequest)
        ]
        assert len(pings_sent) == 3

    run(scenario)


def test_what_waits_is_acknowledged_without_a_request_when_it_is_time() -> None:
    async def scenario(line: Line) -> None:
        line.sender.acknowledge()
        await turn()
        assert not line.sent
        first = line.push(note(1))
        line.sender.acknowledge()
        await turn()
        assert acknowledged(line) == [first]

    run(scenario)


def test_an_answer_that_has_not_arrived_is_asked_for_and_one_that_has_is_acknowledged() -> None:
    async def scenario(line: Line) -> None:
        line.sender.send(PING)
        await turn()
        [[asked]] = line.connection.written
        missing, arrived = line.next_id(), line.push(note(1))
        line.push(types.MsgDetailedInfo(asked.msg_id, missing, 100, 0))
        line.push(types.MsgNewDetailedInfo(missing + 1, 100, 0))
        line.push(types.MsgNewDetailedInfo(arrived, 100, 0))
        line.push(types.MsgDetailedInfo(asked.msg_id + 4, missing + 2, 100, 0))
        line.sender.acknowledge()
        await turn()
        again = [it.msg_ids for it in line.sent[1] if isinstance(it, types.MsgResendReq)]
        assert again == [[missing], [missing + 1]]
        assert acknowledged(line).count(arrived) == 2
        assert missing + 2 in acknowledged(line), "no one waits for it"
        assert missing not in acknowledged(line)

    run(scenario)


# --- requests that nobody waits for -----------------------------------------------------------


def test_a_request_whose_caller_has_given_up_is_not_sent() -> None:
    async def scenario(line: Line) -> None:
        futures = line.sender.send(pings(3))
        futures[1].cancel()
        await turn()
        assert [it.ping_id for it in line.sent[0]] == [0, 2]

    run(scenario)


def test_it_is_sent_when_a_later_one_is_to_run_after_it() -> None:
    async def scenario(line: Line) -> None:
        futures = line.sender.send(pings(3), ordered=True)
        futures[1].cancel()
        other = line.sender.send(pings(2), ordered=True)
        for it in other:
            it.cancel()
        await turn()
        assert len(line.sent[0]) == 3

    run(scenario)


def test_it_is_not_sent_again_after_a_wrong_salt() -> None:
    async def scenario(line: Line) -> None:
        future = line.sender.send(PING)
        await turn()
        future.cancel()
        line.push(types.BadServerSalt(line.connection.written[0][0].msg_id, 0, 48, 99))
        await turn()
        assert PING not in [it for packet in line.sent[1:] for it in packet]

    run(scenario)


def test_a_refused_container_ends_all_its_requests_though_a_caller_has_given_up() -> None:
    async def scenario(line: Line) -> None:
        outer = outer_ids(line)
        futures = line.sender.send(pings(3))
        await turn()
        futures[0].cancel()
        line.push(types.BadMsgNotification(outer[0], 0, 64))
        for it in futures[1:]:
            with pytest.raises(BadMessageError):
                await it

    run(scenario)


def test_the_pong_of_a_ping_that_was_given_up_is_no_failure() -> None:
    async def scenario(line: Line) -> None:
        future = line.sender.send(PING)
        await turn()
        future.cancel()
        await line.sender._handle_pong(Pushed(types.Pong(line.connection.written[0][0].msg_id, 7)))

    run(scenario)


class Pushed:
    def __init__(self, obj: Any) -> None:
        self.obj = obj


def test_a_request_that_nobody_has_waited_for_since_a_while_is_forgotten() -> None:
    async def scenario(line: Line) -> None:
        given_up, waits = line.sender.send(pings(2))
        await turn()
        given_up.cancel()
        line.sender._keepalive_ping(1)
        await turn()
        assert len(line.sender._pending_state) == 3
        line.sender._ping = None
        line.sender._state._last_msg_id += 60 << 32
        line.sender._keepalive_ping(2)
        assert next(iter(line.sender._pending_state.values())).future is waits

    run(scenario)


def test_a_request_that_is_too_large_is_refused_and_the_connection_stays() -> None:
    class Large(functions.PingRequest):  # type: ignore[misc]
        def __bytes__(self) -> bytes:
            return bytes(2_000_000)

    async def scenario(line: Line) -> None:
        with pytest.raises(ValueError, match="2000000 bytes"):
            line.sender.send([PING, Large(1)])
        line.sender.send(PING)
        await turn()
        assert line.sender.is_connected()
        assert len(line.sent[0]) == 1

    run(scenario)


# --- room -------------------------------------------------------------------------------------


def test_a_burst_stops_when_the_transport_is_full_and_goes_on_in_its_order() -> None:
    async def scenario(line: Line) -> None:
        write = line.connection.write

        def filling(data: bytes) -> None:
            write(data)
            line.connection.is_full = True

        line.connection.write = filling  # type: ignore[method-assign]
        line.sender.send(pings(250))
        await turn()
        assert len(line.sent) == 1
        line.sender.send(functions.PingRequest(250))
        await asyncio.sleep(0)
        for _ in range(25):
            line.connection.is_full = False
            line.sender.flush()
        assert [it.ping_id for packet in line.sent for it in packet] == list(range(251))

    run(scenario)
