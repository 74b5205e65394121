"""``/metrics``, ``/healthz`` and ``/readyz`` of a process that serves nothing else.

A thread of its own answers, one request after another, each within two seconds: it never
waits for what the process does, and the process never waits for it. What it shows are
figures that the process has noted.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import structlog

from afx import exposition
from afx.exposition import Metric
from afx.probe_address import parse_address

_REQUEST_SECONDS = 2.0
"""What one client may take."""
_MOST_BYTES = 8 * 1024
_BACKLOG = 16

log = structlog.get_logger()


@dataclass(slots=True, frozen=True)
class State:
    """Whether a process is as it should be, and in a few words why not."""

    ok: bool
    detail: str = ""


@dataclass(slots=True, frozen=True)
class Probed:
    """What a process shows; each function is called on the thread that answers."""

    metrics: Callable[[], Iterable[Metric]]
    health: Callable[[], State]
    """Not ok: it is stuck, and should be restarted."""
    readiness: Callable[[], State]
    """Not ok: it cannot do its work now."""


@contextlib.contextmanager
def answering(address: str, probed: Probed) -> Iterator[int]:
    """Answer while the block runs, at the first free port of the address; yields the port.

    An empty address: nowhere, and 0. So it is, with a warning, when no port is free:
    a process does its work without being watched, too.
    """
    listening = _bound(address) if address else None
    if listening is None:
        yield 0
        return
    host, port = listening.getsockname()[:2]
    log.info("probes_listen", host=host, port=port)
    closing = threading.Event()
    thread = threading.Thread(
        target=_serve, args=(listening, probed, closing), name="probes", daemon=True
    )
    thread.start()
    try:
        yield port
    finally:
        closing.set()
        with contextlib.suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)  # ends the accept under way
        listening.close()


def _bound(address: str) -> socket.socket | None:
    host, ports = parse_address(address)
    problem = ""
    for port in ports:
        try:
            [family, _, _, _, place] = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            listening = socket.socket(family, socket.SOCK_STREAM)
        except OSError as error:
            problem = error.strerror or str(error)
            continue
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(place)
            listening.listen(_BACKLOG)
        except OSError as error:
            listening.close()
            problem = error.strerror or str(error)
        else:
            return listening
    log.warning("probes_not_started", address=address, reason=problem)
    return None


def _serve(listening: socket.socket, probed: Probed, closing: threading.Event) -> None:
    while not closing.is_set():
        try:
            client, _ = listening.accept()
        except OSError as error:
            if closing.is_set():
                return
            # Such as too many open files: it is tried again.
            log.warning("probe_not_accepted", reason=str(error))
            closing.wait(1)
            continue
        with client, contextlib.suppress(OSError):
            _answer(client, probed)


def _answer(client: socket.socket, probed: Probed) -> None:
    until = time.monotonic() + _REQUEST_SECONDS
    head = b""
    while b"\r\n\r\n" not in head and len(head) <= _MOST_BYTES:
        left = until - time.monotonic()
        if left <= 0:
            return
        client.settimeout(left)
        part = client.recv(4096)
        if not part:
            return
        head += part
    method, _, rest = head.partition(b" ")
    path = rest.partition(b" ")[0].partition(b"?")[0]
    status, kind, content = _page(method, path, probed)
    client.settimeout(max(0.1, until - time.monotonic()))
    client.sendall(
        f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {len(content)}\r\n"
        "cache-control: no-store\r\nconnection: close\r\n\r\n".encode()
        + (b"" if method == b"HEAD" else content)
    )


def _page(method: bytes, path: bytes, probed: Probed) -> tuple[str, str, bytes]:
    plain = "text/plain; charset=utf-8"
    if method not in (b"GET", b"HEAD"):
        return "405 Method Not Allowed\r\nallow: GET, HEAD", plain, b"This takes GET.\n"
    try:
        if path == b"/metrics":
            text = "".join(f"{it}\n" for it in exposition.lines(probed.metrics()))
            return "200 OK", exposition.MEDIA_TYPE, text.encode()
        if path in (b"/healthz", b"/readyz"):
            state = (probed.health if path == b"/healthz" else probed.readiness)()
            status = "200 OK" if state.ok else "503 Service Unavailable"
            return status, plain, f"{state.detail or ('ok' if state.ok else 'not ok')}\n".encode()
    except Exception as error:
        # A mistake in a figure must not end the thread, and so all others.
        log.error("probe_failed", path=path.decode("latin-1"), error=repr(error))
        return "500 Internal Server Error", plain, b"See the log of this process.\n"
    return "404 Not Found", plain, b"There are /metrics, /healthz and /readyz.\n"
