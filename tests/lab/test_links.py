"""A link that delays, holds back and drops, but never loses or reorders bytes."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from afx.lab.links import BadLink


@pytest.fixture
def link() -> Iterator[BadLink]:
    """A link to a server that sends back what it receives."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=echo, args=[connection], daemon=True).start()

    def echo(connection: socket.socket) -> None:
        with connection:
            try:
                while data := connection.recv(65536):
                    connection.sendall(data)
            except OSError:
                return

    thread = threading.Thread(target=serve)
    thread.start()
    made = BadLink(server.getsockname(), seed=1)
    yield made
    made.close()
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join()


def call(client: socket.socket, data: bytes) -> bytes:
    client.sendall(data)
    found = b""
    while len(found) < len(data):
        found += client.recv(65536)
    return found


def test_bytes_pass_unchanged_and_in_order_also_when_segments_are_lost(link: BadLink) -> None:
    data = bytes(range(256)) * 1000
    with socket.create_connection(link.address, timeout=20) as client:
        assert call(client, data) == data
        link.slow(0.01, loss=0.2)
        assert call(client, data) == data


def test_a_slow_link_delays_both_ways(link: BadLink) -> None:
    with socket.create_connection(link.address, timeout=20) as client:
        call(client, b"x")
        link.slow(0.2)
        begun = time.monotonic()
        call(client, b"x")
        assert time.monotonic() - begun >= 0.4


def test_a_cut_link_delivers_its_data_in_flight_after_the_repair(link: BadLink) -> None:
    with socket.create_connection(link.address, timeout=0.3) as client:
        call(client, b"x")
        link.cut()
        client.sendall(b"late")
        with pytest.raises(TimeoutError):
            client.recv(10)
        link.mend()
        client.settimeout(20)
        assert client.recv(10) == b"late"


def test_a_dropped_link_closes_what_is_open_and_takes_new_connections(link: BadLink) -> None:
    with socket.create_connection(link.address, timeout=20) as client:
        call(client, b"x")
        link.drop()
        with pytest.raises(ConnectionResetError):
            if not client.recv(10):
                raise ConnectionResetError
    with socket.create_connection(link.address, timeout=20) as client:
        assert call(client, b"y") == b"y"


def test_a_stalled_link_holds_back_old_connections_and_serves_new_ones(link: BadLink) -> None:
    with socket.create_connection(link.address, timeout=20) as old:
        call(old, b"x")
        link.stall()
        old.sendall(b"late")
        with socket.create_connection(link.address, timeout=20) as new:
            assert call(new, b"y") == b"y"
        link.mend()
        assert old.recv(10) == b"late"
