"""The bodies of MTProto messages: objects, containers, packed data, results.

Source: core.telegram.org/mtproto/service_messages.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Sequence
from typing import Any

from telethon.errors import TypeNotFoundError
from telethon.extensions import BinaryReader

from afx.sandbox.errors import RpcError

CONTAINER = 0x73F1F8DC
ACKS = 0x62D6B459
PING = 0x7ABE77EC
GZIP_PACKED = 0x3072CFA1
RPC_RESULT = 0xF35C6D01
NEVER_CONTENT = frozenset({CONTAINER, ACKS})
"""Bodies that must not ask for an acknowledgment. gzip_packed is not among them, although
mtproto/description names it: clients pack requests, and send them as such."""
MAY_BE_EVEN = NEVER_CONTENT | {
    PING,
    0xF3427B8C,  # ping_delay_disconnect
    0x04DEB57D,  # msgs_state_info
    0xDA69FB52,  # msgs_state_req
    0x7D861A08,  # msg_resend_req
    0x8CC0D131,  # msgs_all_info
    0x9299359F,  # http_wait
    0xB921BD04,  # get_future_salts
    0xE7512126,  # destroy_session
    0x58E4A740,  # rpc_drop_answer
}
"""Bodies that need not ask for one: all others are requests of the API."""

MAX_UNPACKED_BYTES = 16 * 1024 * 1024
_MAX_CONTAINER = 1024
_INNER = struct.Struct("<qii")  # message id, seq no, length
_PACK_OVER_BYTES = 2048


class ContainerError(Exception):
    """A container breaks the rules: it is refused as a whole."""


def kind(body: bytes) -> int:
    """Return the constructor id of a body."""
    return int.from_bytes(body[:4], "little")


def read_object(body: bytes) -> Any:
    """Return the TL object that a body holds.

    Raises RpcError as Telegram answers what it cannot read (core.telegram.org/api/errors).
    """
    try:
        with BinaryReader(body) as reader:
            return reader.tgread_object()
    except TypeNotFoundError as error:
        known = error.invalid_constructor_id != kind(body)
        name = "INPUT_CONSTRUCTOR_INVALID" if known else "INPUT_METHOD_INVALID"
        raise RpcError(400, name) from error
    except Exception as error:  # the reader checks nothing: any error means malformed bytes
        raise RpcError(400, "INPUT_FETCH_ERROR") from error


def unpack(body: bytes) -> bytes:
    """Return the body that ``gzip_packed`` holds; zlib's own format is taken, too.

    Raises RpcError when the data is damaged or too large.
    """
    start, size = (5, body[4]) if body[4:5] < b"\xfe" else (8, int.from_bytes(body[5:8], "little"))
    unzip = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)  # 32: gzip or zlib, by the header
    try:
        data = unzip.decompress(body[start : start + size], MAX_UNPACKED_BYTES)
    except zlib.error as error:
        raise RpcError(400, "INPUT_FETCH_ERROR") from error
    if not unzip.eof:
        raise RpcError(400, "INPUT_FETCH_ERROR")
    return data


def unpack_container(body: bytes, container_id: int = 2**63 - 1) -> list[tuple[int, int, bytes]]:
    """Return a container's messages, as (message id, seq no, body) each.

    Raises ContainerError when there are too many, when one is a container
    itself, when one's id is not below the container's, or when the lengths are wrong.
    """
    count = int.from_bytes(body[4:8], "little")
    if count > _MAX_CONTAINER:
        raise ContainerError(f"{count} messages in one container")
    found = []
    at = 8
    for _ in range(count):
        if at + _INNER.size > len(body):
            raise ContainerError("the container ends within a message")
        msg_id, seq, size = _INNER.unpack_from(body, at)
        at += _INNER.size
        inner = body[at : at + size]
        if size < 4 or len(inner) < size:
            raise ContainerError(f"a message of {size} bytes in a container")
        if msg_id >= container_id:
            raise ContainerError("a message's id is not below its container's")
        if kind(inner) == CONTAINER:
            raise ContainerError("a container in a container")
        found.append((msg_id, seq, inner))
        at += size
    return found


def pack_container(messages: Sequence[tuple[int, int, bytes]]) -> bytes:
    """Return a container of messages, given as (message id, seq no, body) each."""
    parts = [struct.pack("<Ii", CONTAINER, len(messages))]
    for msg_id, seq, body in messages:
        parts += (_INNER.pack(msg_id, seq, len(body)), body)
    return b"".join(parts)


def pack_result(msg_id: int, data: bytes) -> bytes:
    """Return the answer to a request; a long one is packed if that makes it shorter."""
    if len(data) > _PACK_OVER_BYTES:
        packed = gzip.compress(data, 1)
        if len(packed) < len(data):
            data = struct.pack("<I", GZIP_PACKED) + _long_string(packed)
    return struct.pack("<Iq", RPC_RESULT, msg_id) + data


def _long_string(data: bytes) -> bytes:
    head = b"\xfe" + len(data).to_bytes(3, "little")
    return head + data + bytes(-(len(head) + len(data)) % 4)
