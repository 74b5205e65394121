"""The sandbox as a process: listens, prints its address, runs until it is asked to end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import resource
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from afx.local.home_lock import home_lock
from afx.sandbox.client import ADDRESS_FILE
from afx.sandbox.control.listener import ControlListener
from afx.sandbox.server import SandboxServer


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
    server = SandboxServer()
    await server.start(host, port)
    control = ControlListener(server)
    await control.start(host, control_port)
    loop = asyncio.get_running_loop()
    for each in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(each, control.shutdown.set)
    address: dict[str, Any] = {
        "host": server.host,
        "port": server.port,
        "control_port": control.port,
        "public_key": server.rsa.public_pem.decode(),
    }
    path = home / ADDRESS_FILE
    path.write_text(json.dumps(address))
    started(address)
    try:
        await control.shutdown.wait()
    finally:
        with contextlib.suppress(OSError):
            path.unlink()
        await control.stop()
        await server.stop()


def _raise_file_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    import sys

    run(Path(sys.argv[1]))
