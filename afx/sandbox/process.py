"""The sandbox as a process: listens, prints its address, runs until it is asked to end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from afx.local.home_lock import home_lock
from afx.sandbox.client import ADDRESS_FILE
from afx.sandbox.control.listener import ControlListener
from afx.sandbox.fronts.front import Front
from afx.sandbox.fronts.mtproxy import MtProxy
from afx.sandbox.fronts.socks import Socks5
from afx.sandbox.mtproto.crypto import ServerKey
from afx.sandbox.server import SandboxServer
from afx.short_slices import ask_for_short_slices

KEY_FILE = "sandbox-key.pem"
PROXY_LOGIN = ("sandbox", "sandbox")
PROXY_SECRET = bytes(range(16))
"""They are no secrets: the proxies lead to the sandbox, and nowhere else."""


def print_json(address: dict[str, Any]) -> None:
    """Print the address as one line of JSON."""
    print(json.dumps(address), flush=True)


def run(
    home: Path,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    control_port: int = 0,
    started: Callable[[dict[str, Any]], None] = print_json,
) -> None:
    """Serve until SIGINT, SIGTERM or the control call ``stop``.

    The address is written to ``home/sandbox.json`` and given to ``started``. Raises
    UsageError when a sandbox runs in this home already.
    """
    with home_lock(home, "sandbox", "afx sandbox start"):
        _raise_file_limit()
        # It stands for another machine: what it waits for a core is no one's latency.
        ask_for_short_slices(os.getpriority(os.PRIO_PROCESS, 0))
        try:
            import uvloop
        except ImportError:
            asyncio.run(_serve(home, host, port, control_port, started))
        else:
            uvloop.run(_serve(home, host, port, control_port, started))


async def _serve(
    home: Path,
    host: str,
    port: int,
    control_port: int,
    started: Callable[[dict[str, Any]], None],
) -> None:
    server = SandboxServer(private_key=_private_key(home))
    await server.start(host, port)
    control = ControlListener(server)
    await control.start(host, control_port)
    fronts = [
        Front(it, allows=lambda host, port: (host, port) in server.addresses().values())
        for it in (Socks5(*PROXY_LOGIN), MtProxy(PROXY_SECRET, server.addresses))
    ]
    for it in fronts:
        await it.start()
    user, password = PROXY_LOGIN
    socks, mtproxy = fronts
    loop = asyncio.get_running_loop()
    for each in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(each, control.shutdown.set)
    address: dict[str, Any] = {
        "host": server.host,
        "port": server.port,
        "control_port": control.port,
        "socks5": f"socks5://{user}:{password}@{socks.host}:{socks.port}",
        "mtproxy": f"mtproxy://{PROXY_SECRET.hex()}@{mtproxy.host}:{mtproxy.port}",
        **public_key(server.rsa),
    }
    path = home / ADDRESS_FILE
    path.write_text(json.dumps(address))
    started(address)
    try:
        await control.shutdown.wait()
    finally:
        with contextlib.suppress(OSError):
            path.unlink()
        for it in fronts:
            await it.stop()
        await control.stop()
        await server.stop()


def public_key(key: ServerKey) -> dict[str, Any]:
    """Return a key in the forms in which clients of any language want it.

    The fingerprint is the 64-bit number of core.telegram.org/mtproto/auth_key, without a
    sign and in hexadecimal digits.
    """
    return {
        "public_key": key.public_pem.decode(),
        "n": f"{key.n:x}",
        "e": key.e,
        "fingerprint": f"{key.fingerprint & (2**64 - 1):016x}",
    }


def _private_key(home: Path) -> bytes:
    """Return the home's RSA key, so that it stays the same; the first start makes it."""
    path = home / KEY_FILE
    with contextlib.suppress(FileNotFoundError):
        return path.read_bytes()
    pem = ServerKey().private_pem
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(pem)
    return pem


def _raise_file_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    import sys

    run(Path(sys.argv[1]))
