"""The packets of a connection to Telegram, and what ends it."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from zlib import crc32

import pytest
import uvloop
from telethon.errors import InvalidBufferError, InvalidChecksumError

from afx.telegram.transport import guarded_connection

Server = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def packed(sequence: int, body: bytes) -> bytes:
    """Return a packet as mtproto-transports, "Full", describes it."""
    packet = struct.pack("<ii", len(body) + 12, sequence) + body
    return packet + struct.pack("<I", crc32(packet))


@asynccontextmanager
async def connected(serve: Server, guard: Callable[[], bool] = lambda: True) -> AsyncIterator[Any]:
    """Yield a connection to a server that serves one client so."""
    ended = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        finally:
            writer.close()
            ended.set()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        address = server.sockets[0].getsockname()
        connection = guarded_connection(guard, lambda _host, _port: True, 2.0)(*address, 2)
        await connection.connect(timeout=5)
        try:
            yield connection
        finally:
            await connection.disconnect()
            await ended.wait()


Run = Callable[[Callable[[], Awaitable[None]]], None]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Run a scenario that may not hang, on each kind of event loop."""

    def on_loop(scenario: Callable[[], Awaitable[None]]) -> None:
        async def bounded() -> None:
            async with asyncio.timeout(20):
                await scenario()

        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(bounded())

    return on_loop


async def until_end(reader: asyncio.StreamReader) -> None:
    """Read until the client ends."""
    try:
        while await reader.read(1 << 16):
            pass
    except ConnectionError:
        pass


@pytest.mark.parametrize("size", [1, 3, 8, 11, 1000])
def test_packets_are_read_however_the_network_splits_them(run: Run, size: int) -> None:
    bodies = [bytes([n]) * (n * 37 % 500) for n in range(1, 60)]
    data = b"".join(packed(n, body) for n, body in enumerate(bodies))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for at in range(0, len(data), size):
            writer.write(data[at : at + size])
            await writer.drain()
            await asyncio.sleep(0)
        await until_end(reader)

    async def scenario() -> None:
        async with connected(serve) as connection:
            assert [await connection.recv() for _ in bodies] == bodies

    run(scenario)


def test_packets_are_numbered_and_have_a_checksum(run: Run) -> None:
    received: asyncio.Queue[bytes] = asyncio.Queue()

    async def serve(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        received.put_nowait(await reader.readexactly(len(packed(0, b"one" * 4)) * 2))

    async def scenario() -> None:
        async with connected(serve) as connection:
            await connection.send(b"one" * 4)
            await connection.send(b"two" * 4)
            assert await received.get() == packed(0, b"one" * 4) + packed(1, b"two" * 4)

    run(scenario)


def test_what_arrived_before_the_end_is_read_first(run: Run) -> None:
    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(packed(0, b"last"))
        await writer.drain()

    async def scenario() -> None:
        async with connected(serve) as connection:
            assert await connection.recv() == b"last"
            with pytest.raises(ConnectionError):
                await connection.recv()
            with pytest.raises(ConnectionError):
                await connection.send(b"more")

    run(scenario)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (struct.pack("<iii", -429, -429, -429), InvalidBufferError),
        (struct.pack("<ii", 4, 0), InvalidBufferError),
        (struct.pack("<ii", 1 << 30, 0), InvalidBufferError),
        (packed(0, b"body")[:-1] + b"\0", InvalidChecksumError),
    ],
    ids=["an error of the transport", "too short", "too long", "wrong checksum"],
)
def test_bytes_that_are_no_packet_end_the_connection(
    run: Run, data: bytes, error: type[Exception]
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(packed(0, b"good") + data)
        await until_end(reader)

    async def scenario() -> None:
        async with connected(serve) as connection:
            assert await connection.recv() == b"good"
            with pytest.raises(error):
                await connection.recv()
            with pytest.raises(ConnectionError):
                await connection.send(b"more")

    run(scenario)


def test_nothing_is_written_after_the_lease_has_run_out(run: Run) -> None:
    received = bytearray()
    may_write = True

    async def serve(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1 << 16):
                received.extend(data)
        except ConnectionError:
            pass

    async def scenario() -> None:
        nonlocal may_write
        async with connected(serve, lambda: may_write) as connection:
            await connection.send(b"before")
            while not received:
                await asyncio.sleep(0.001)
            may_write = False
            with pytest.raises(ConnectionError):
                await connection.send(b"after")
            with pytest.raises(ConnectionError):
                await connection.recv()

    run(scenario)
    assert bytes(received) == packed(0, b"before")


def test_a_sender_waits_while_nobody_reads_and_is_woken_by_the_end(run: Run) -> None:
    is_over = asyncio.Event()

    async def serve(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await is_over.wait()

    async def scenario() -> None:
        async with connected(serve) as connection:

            async def send() -> None:
                for _ in range(1000):
                    await connection.send(bytes(1 << 20))

            sending = asyncio.create_task(send())
            done, _ = await asyncio.wait({sending}, timeout=0.2)
            assert not done
            await connection.disconnect()
            await asyncio.wait({sending}, timeout=5)
            is_over.set()
            assert isinstance(sending.exception(), ConnectionError)

    run(scenario)


def test_a_flood_of_packets_waits_in_the_network(run: Run) -> None:
    count = 4000
    written = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        writer.transport.set_write_buffer_limits(high=1 << 16)
        for n in range(count):
            writer.write(packed(n, bytes(1 << 14)))
            await writer.drain()
            written += 1
        await until_end(reader)

    async def scenario() -> None:
        async with connected(serve) as connection:
            before = -1
            while before != written:
                before = written
                await asyncio.sleep(0.1)
            assert written < count
            for _ in range(count):
                assert len(await connection.recv()) == 1 << 14

    run(scenario)


def test_a_connection_connects_again_after_its_end(run: Run) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(packed(0, b"hello"))
        await until_end(reader)

    async def scenario() -> None:
        async with connected(serve) as connection:
            assert await connection.recv() == b"hello"
            await connection.disconnect()
            with pytest.raises(ConnectionError):
                await connection.recv()
            await connection.connect(timeout=5)
            assert await connection.recv() == b"hello"

    run(scenario)
