"""Serves the API until it is stopped."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

import uvicorn

from afx.api import worker_processes
from afx.api.application import build
from afx.api.gate import Gate
from afx.api.generations import Generation
from afx.api.hub import Hub
from afx.api.messages import Messages
from afx.errors import AfxError, UsageError
from afx.operations.context import Actor, Context, Servers
from afx.operations.tokens import first_token

GRACEFUL_SECONDS = 1
_BACKLOG = 512


class _Server(uvicorn.Server):
    """Ends the streams of events first: uvicorn waits for whoever is connected."""

    def __init__(self, config: uvicorn.Config, hub: Hub) -> None:
        super().__init__(config)
        self._hub = hub

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop at SIGINT and SIGTERM, and end as a process that was asked to: with exit code 0."""
        loop = asyncio.get_running_loop()
        for it in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(it, self.handle_exit, it, None)
        yield

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop; on the event loop."""
        self._hub.close()
        super().handle_exit(sig, frame)


def serve(servers: Servers, *, notify: Callable[[str], None], behind_proxy: bool) -> None:
    """Serve until SIGINT or SIGTERM; ``notify`` gets the address and a first token, once.

    Raises AfxError when the address is taken, UsageError for a certificate without its key.
    """
    settings = servers.settings
    certificate, key = settings.web_certificate, settings.web_certificate_key
    if bool(certificate) != bool(key):
        raise UsageError("TLS needs web_certificate and web_certificate_key; set both.")
    servers.open_database(create=True)
    token = first_token(Context(Actor("api"), servers))
    listening = _bound(settings.web_host, settings.web_port)
    # Whoever reads the address may stop it at once, before the server listens to signals.
    signal.signal(signal.SIGTERM, _end)
    scheme = "https" if certificate else "http"
    host, port = listening.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    notify(f"the dashboard is at {scheme}://{shown}:{port}/")
    if token:
        notify(f"sign in with this token (shown once): {token}")
    options: dict[str, Any] = {"ssl_certfile": certificate, "ssl_keyfile": key}
    tls = options if key else {}
    with listening:
        if settings.web_workers > 1:
            servers.drop_connection()
            worker_processes.run(settings, listening, behind_proxy=behind_proxy, tls=tls)
        else:
            serve_at(servers, listening, behind_proxy=behind_proxy, tls=tls)


def _end(*_: object) -> NoReturn:
    raise SystemExit(0)


def serve_at(
    servers: Servers,
    listening: socket.socket,
    *,
    behind_proxy: bool,
    tls: dict[str, Any],
    messages: Messages | None = None,
    generation: Generation | None = None,
    beside: Callable[[], None] | None = None,
) -> None:
    """Serve at a socket until SIGINT or SIGTERM; ``beside`` is called on the event loop first."""
    import uvloop

    async def run() -> None:
        if beside is not None:
            beside()
        _, gate, api = build(servers, messages=messages, generation=generation)
        await _serve(gate, api.hub, listening, behind_proxy=behind_proxy, tls=tls)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())


async def _serve(
    gate: Gate, hub: Hub, listening: socket.socket, *, behind_proxy: bool, tls: dict[str, Any]
) -> None:
    config = uvicorn.Config(
        gate,
        http="httptools",
        ws="none",
        lifespan="on",
        proxy_headers=behind_proxy,
        forwarded_allow_ips="127.0.0.1,::1" if behind_proxy else None,
        server_header=False,
        date_header=True,
        access_log=False,
        log_config=None,
        backlog=_BACKLOG,
        timeout_graceful_shutdown=GRACEFUL_SECONDS,
        timeout_keep_alive=30,
        **tls,
    )
    await _Server(config, hub).serve(sockets=[listening])


def _bound(host: str, port: int) -> socket.socket:
    try:
        [family, _, _, _, address] = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        # Whoever reads the address may connect at once, and waits for the start.
        listening.listen(_BACKLOG)
        listening.set_inheritable(True)
        return listening
    except OSError as error:
        raise AfxError(
            f"The API cannot listen at {host}:{port} ({error.strerror or error}); choose another "
            "address with --host and --port."
        ) from error
