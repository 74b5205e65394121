"""Calls about the sandbox itself."""

from __future__ import annotations

import os
import time
from functools import cache
from typing import Any

import psutil

from afx.sandbox.control.calls import Sandbox, call


@call
def info(sandbox: Sandbox) -> dict[str, Any]:
    """Describe what runs here, and what it uses."""
    server = sandbox.server
    cpu = os.times()
    return {
        "host": server.host,
        "port": server.port,
        "pid": os.getpid(),
        "public_key": server.rsa.public_pem.decode(),
        "accounts": len(server.world.accounts),
        "channels": len(server.world.channels),
        "connections": len(server.connections),
        "requests": server.api.requests,
        "messages": sum(len(it.box.messages) for it in server.world.channels.values()),
        "rss": _process().memory_info().rss,
        "cpu_seconds": cpu.user + cpu.system,
        "seconds": time.monotonic() - sandbox.started_at,
    }


@call
def stop(sandbox: Sandbox) -> bool:
    """End the sandbox."""
    sandbox.shutdown.set()
    return True


@cache
def _process() -> psutil.Process:
    return psutil.Process()
