"""Bodies of MTProto messages: packed data, containers, what cannot be read."""

from __future__ import annotations

import gzip
import struct
import zlib
from typing import Any

import pytest
from support.sandbox import SandboxHarness, run_scenario
from telethon import errors
from telethon.tl import TLObject, TLRequest, functions, types

from afx.sandbox.errors import RpcError
from afx.sandbox.mtproto import messages


class Frame(TLRequest):  # type: ignore[misc]
    """A request whose bytes are given."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def _bytes(self) -> bytes:
        return self.data


def packed(data: bytes) -> bytes:
    return struct.pack("<I", messages.GZIP_PACKED) + TLObject.serialize_bytes(data)


GET_STATE = bytes(functions.updates.GetStateRequest())
UNKNOWN = struct.pack("<I", 0x12345678)


@pytest.mark.parametrize("compress", [gzip.compress, zlib.compress])
def test_a_packed_request_is_answered(compress: Any) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        client = await sandbox.client(sandbox.login(sandbox.server.world.add_account()))
        assert isinstance(await client(Frame(packed(compress(GET_STATE)))), types.updates.State)

    run_scenario(scenario)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (packed(b"no gzip at all"), "INPUT_FETCH_ERROR"),
        (packed(gzip.compress(GET_STATE)[:-9]), "INPUT_FETCH_ERROR"),
        (UNKNOWN, "INPUT_METHOD_INVALID"),
        (bytes(functions.updates.GetDifferenceRequest(1, None, 0))[:8], "INPUT_FETCH_ERROR"),
        (bytes(functions.users.GetUsersRequest([]))[:8] + b"\1\0\0\0" + UNKNOWN, "INPUT_CONS"),
    ],
    ids=["no packed data", "cut packed data", "unknown method", "cut request", "unknown argument"],
)
def test_an_unreadable_request_is_refused_and_the_connection_stays_open(
    data: bytes, name: str
) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        client = await sandbox.client(sandbox.login(sandbox.server.world.add_account()))
        await client.get_me()
        [connection] = sandbox.server.connections
        with pytest.raises(errors.RPCError) as caught:
            await client(Frame(data))
        assert caught.value.code == 400
        assert await client.get_me()
        assert list(sandbox.server.connections) == [connection]

    run_scenario(scenario)
    with pytest.raises(RpcError, match=name):
        messages.read_object(
            messages.unpack(data) if messages.kind(data) == messages.GZIP_PACKED else data
        )


def test_packed_data_that_grows_beyond_all_bounds_is_refused() -> None:
    bomb = packed(gzip.compress(bytes(messages.MAX_UNPACKED_BYTES + 1)))
    with pytest.raises(RpcError, match="INPUT_FETCH_ERROR"):
        messages.unpack(bomb)


def test_long_answers_are_packed_and_short_ones_are_not() -> None:
    long, short = messages.pack_result(7, bytes(5000)), messages.pack_result(7, bytes(50))
    assert messages.unpack(long[12:]) == bytes(5000)
    assert short[12:] == bytes(50)


def test_the_messages_of_a_container_are_decoded_unchanged() -> None:
    inside = [(5, 1, b"abcd"), (9, 2, b"efghijkl")]
    assert messages.unpack_container(messages.pack_container(inside)) == inside


@pytest.mark.parametrize(
    "container",
    [
        messages.pack_container([(1, 0, messages.pack_container([]))]),
        messages.pack_container([(it, 0, b"abcd") for it in range(1025)]),
        messages.pack_container([(1, 0, b"abcd")])[:-1],
        messages.pack_container([(1, 0, b"abcd")])[:20],
        messages.pack_container([(1, 0, b"")]),
    ],
    ids=["nested", "too many", "cut body", "cut head", "empty body"],
)
def test_a_container_against_the_rules_is_refused_as_a_whole(container: bytes) -> None:
    with pytest.raises(messages.ContainerError):
        messages.unpack_container(container)
