"""Listens for control calls: one JSON object a line, on loopback.

A request is ``{"call": name, ...arguments}``; the answer is ``{"ok": value}``
or ``{"error": sentence}``.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

# Each of these files registers its calls in CALLS.
from afx.sandbox.control import (  # noqa: F401
    accounts,
    chats,
    faults,
    ledger,
    process,
    traffic,
)
from afx.sandbox.control.calls import CALLS, Sandbox
from afx.sandbox.judge.flow import Flow
from afx.sandbox.server import SandboxServer

_LINE_LIMIT = 64 * 1024 * 1024


class ControlListener:
    """Answers control calls, and owns the flow of posts that they start."""

    def __init__(self, server: SandboxServer) -> None:
        self.sandbox = Sandbox(server, Flow(server), asyncio.Event(), time.monotonic())
        self._listener: asyncio.Server | None = None
        self.port = 0

    @property
    def shutdown(self) -> asyncio.Event:
        """Set when a call asks the sandbox to end."""
        return self.sandbox.shutdown

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen for control calls."""
        self._listener = await asyncio.start_server(self._serve, host, port, limit=_LINE_LIMIT)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening, and end the flow."""
        await self.sandbox.flow.stop()
        if self._listener:
            self._listener.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(json.dumps(self._answer(line)).encode() + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError, asyncio.CancelledError):
            pass  # the caller is gone, sent too long a line, or the sandbox ends
        finally:
            writer.close()

    def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            arguments = json.loads(line)
            handler = CALLS[arguments.pop("call")]
            return {"ok": handler(self.sandbox, **arguments)}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            return {"error": f"{type(error).__name__}: {error}"}
