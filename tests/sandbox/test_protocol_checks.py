"""Message ids, sequence numbers, salts and sessions, as MTProto documents them.

core.telegram.org/mtproto/description and /mtproto/service_messages_about_messages.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from typing import Any

import pytest
from support.packets import Wire, wire
from support.sandbox import SandboxHarness, run_scenario
from telethon.tl import functions, types

from afx.sandbox.mtproto import messages
from afx.sandbox.strictness import Strictness

GET_STATE = bytes(functions.updates.GetStateRequest())
PING = bytes(functions.PingRequest(7))
ACK = bytes(types.MsgsAck([5]))


def now_id(seconds: float = 0.0) -> int:
    return int((time.time() + seconds) * 2**32) & ~3


async def code_for(
    sandbox: SandboxHarness, make_id: Callable[[], int], seq: int, body: bytes
) -> int:
    """Return the code with which a session's second message is ignored."""
    line = await wire(sandbox)
    await line.ask(GET_STATE)
    msg_id = make_id()
    line.send(body, msg_id=msg_id, seq=seq)
    found = await line.receive(types.BadMsgNotification)
    assert found.bad_msg_id == msg_id
    return int(found.error_code)


@pytest.mark.parametrize(
    ("make_id", "seq", "body", "code"),
    [
        (lambda: now_id(-400), 3, GET_STATE, 16),
        (lambda: now_id(+90), 3, GET_STATE, 17),
        (lambda: now_id() + 1, 3, GET_STATE, 18),
        (now_id, 1, GET_STATE, 32),
        (lambda: now_id(-60), 5, GET_STATE, 33),
        (now_id, 3, ACK, 34),
        (now_id, 2, GET_STATE, 35),
    ],
    ids=["too low", "too high", "not by four", "seq low", "seq high", "odd ack", "even request"],
)
def test_a_message_against_the_rules_is_ignored_with_its_code(
    make_id: Any, seq: int, body: bytes, code: int
) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        assert await code_for(sandbox, make_id, seq, body) == code

    run_scenario(scenario)


def test_a_container_is_refused_as_a_whole() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        line = await wire(sandbox)
        await line.ask(GET_STATE)
        first = line.next_id()
        inner = [(first, 3, GET_STATE), (line.next_id(), 4, GET_STATE)]
        before = sandbox.server.api.requests
        container = line.send(messages.pack_container(inner), seq=4)
        found = await line.receive(types.BadMsgNotification)
        assert (found.bad_msg_id, found.error_code) == (container, 35)
        assert sandbox.server.api.requests == before

    run_scenario(scenario)


def test_a_container_s_id_must_be_above_those_of_its_messages() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        line = await wire(sandbox)
        await line.ask(GET_STATE)
        container = line.next_id()
        line.send(
            messages.pack_container([(line.next_id(), 3, GET_STATE)]), msg_id=container, seq=4
        )
        assert (await line.receive(types.BadMsgNotification)).error_code == 64

    run_scenario(scenario)


def test_a_container_with_a_used_id_is_refused() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        line = await wire(sandbox)
        used = await line.ask(GET_STATE)
        line.send(messages.pack_container([]), msg_id=used, seq=2)
        assert (await line.receive(types.BadMsgNotification)).error_code == 19

    run_scenario(scenario)


def test_a_repeated_message_is_executed_once_and_answered_again() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        line = await wire(sandbox)
        msg_id = line.send(GET_STATE)
        first = await line.receive_result(msg_id)
        before = sandbox.server.api.requests
        line.send(GET_STATE, msg_id=msg_id, seq=line.last_seq)
        assert await line.receive_result(msg_id) == first
        assert sandbox.server.api.requests == before

    run_scenario(scenario)


def test_the_states_of_messages_can_be_asked_for() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        line = await wire(sandbox)
        known = await line.ask(GET_STATE)
        line.send(bytes(types.MsgsStateReq([known, known - 4, now_id(100)])), content=False)
        info = (await line.receive(types.MsgsStateInfo)).info.encode()
        assert [it & 7 for it in info] == [4, 2, 3]
        assert info[0] & 64, "its answer was made"

    run_scenario(scenario)


def test_an_answer_is_sent_again_when_it_is_asked_for() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        line = await wire(sandbox)
        msg_id = line.send(GET_STATE)
        answer = await line.receive_result(msg_id)
        line.send(bytes(types.MsgResendReq([line.answer_ids[msg_id]])), content=False)
        assert await line.receive_result(msg_id) == answer
        line.send(bytes(types.MsgResendReq([1])), content=False)
        assert len((await line.receive(types.MsgsStateInfo)).info) == 1

    run_scenario(scenario)


def test_a_wrong_salt_is_answered_with_the_right_one() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        line = await wire(sandbox)
        line.salt += 1
        msg_id = line.send(GET_STATE)
        found = await line.receive(types.BadServerSalt)
        assert (found.bad_msg_id, found.error_code) == (msg_id, 48)
        assert found.new_server_salt == line.key.salt

    run_scenario(scenario)


def test_the_salt_before_the_current_one_is_accepted_and_an_older_one_is_not() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        line = await wire(sandbox)
        line.key.salts.rotate(time.monotonic())
        await line.ask(GET_STATE)
        line.key.salts.rotate(time.monotonic())
        line.send(GET_STATE)
        assert await line.receive(types.BadServerSalt)

    run_scenario(scenario)


def test_a_salt_is_replaced_when_its_time_is_over() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        line = await wire(sandbox)
        line.key.salts.until = time.monotonic() - 1
        await line.ask(GET_STATE)
        assert line.key.salt != line.salt

    run_scenario(scenario)


def test_a_session_that_the_server_has_forgotten_begins_again_with_a_notice() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        line = await wire(sandbox)
        await line.ask(GET_STATE)
        first = await line.receive(types.NewSessionCreated)
        assert sandbox.server.connections.forget_sessions() == 1
        msg_id = line.send(GET_STATE)
        second = await line.receive(types.NewSessionCreated)
        assert second.first_msg_id == msg_id
        assert second.unique_id != first.unique_id
        await line.receive_result(msg_id)

    run_scenario(scenario)


def test_a_new_connection_gets_what_was_not_acknowledged() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        line = await wire(sandbox)
        kept, acknowledged = line.send(GET_STATE), line.send(GET_STATE)
        await line.receive_result(kept)
        await line.receive_result(acknowledged)
        line.send(bytes(types.MsgsAck([line.answer_ids[acknowledged]])), content=False)
        await line.reconnect()
        line.send(PING, content=False)
        await line.receive_result(kept)
        await line.receive(types.Pong)
        assert acknowledged not in line.results

    run_scenario(scenario)


def test_an_answer_can_be_dropped() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        line = await wire(sandbox)
        known = line.send(GET_STATE)
        await line.receive_result(known)
        drop = line.send(bytes(functions.RpcDropAnswerRequest(known)))
        assert (await line.receive_object(drop)).msg_id == line.answer_ids[known]
        again = line.send(bytes(functions.RpcDropAnswerRequest(known)))
        assert isinstance(await line.receive_object(again), types.RpcAnswerUnknown)

    run_scenario(scenario)


def test_a_connection_closes_when_no_further_ping_comes_in_time() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        line = await wire(sandbox)
        line.send(bytes(functions.PingDelayDisconnectRequest(1, 0)))
        await line.closed()

    run_scenario(scenario)


def test_an_unknown_key_is_answered_with_the_transport_error_404() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        line = await wire(sandbox)
        del sandbox.server.keys[line.key.key_id]
        line.send(GET_STATE)
        assert await line.transport_error() == -404

    run_scenario(scenario)


@pytest.mark.parametrize(
    ("request_", "name"),
    [
        (functions.updates.GetStateRequest(), "CONNECTION_NOT_INITED"),
        (
            functions.InvokeWithLayerRequest(100, functions.help.GetConfigRequest()),
            "CONNECTION_LAYER_INVALID",
        ),
    ],
)
def test_a_client_has_to_name_a_layer_that_is_spoken_here(request_: Any, name: str) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        line: Wire = await wire(sandbox)
        line.key.layer = 0
        msg_id = line.send(bytes(request_))
        error = await line.receive_object(msg_id)
        assert error.error_message == name

    run_scenario(scenario)


def test_checks_can_be_switched_off() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        line = await wire(sandbox)
        line.key.layer = 0
        await line.receive_result(line.send(GET_STATE, msg_id=now_id(900), seq=2))

    run_scenario(scenario, rules=Strictness(message_ids_checked=False, connection_inited=False))


def test_a_packet_of_a_wrong_length_is_a_transport_error() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        line = await wire(sandbox)
        line.send_raw(struct.pack("<qqqii", line.salt, 1, now_id(), 1, 4000) + GET_STATE)
        assert await line.transport_error() == -404

    run_scenario(scenario)
