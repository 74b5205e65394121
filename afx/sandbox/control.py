"""The sandbox's control channel: one JSON object a line, on loopback.

A request is ``{"call": name, ...arguments}``; the answer is ``{"ok": value}``
or ``{"error": sentence}``.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import psutil
from telethon.crypto import AuthKey as TelethonKey
from telethon.sessions import StringSession

from afx.sandbox.judge.flow import Flow, post
from afx.sandbox.mtproto.crypto import AuthKey, new_salt
from afx.sandbox.server import SandboxServer
from afx.sandbox.telegram import srp
from afx.sandbox.telegram.world import Account, Channel, Group

_LINE_LIMIT = 64 * 1024 * 1024


class Control:
    """Answers control calls; every public ``do_…`` method is one call."""

    def __init__(self, server: SandboxServer) -> None:
        self._server = server
        self._flow = Flow(server)
        self._listener: asyncio.Server | None = None
        self._begun = time.monotonic()
        self.port = 0
        self.shutdown = asyncio.Event()

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen for control calls."""
        self._listener = await asyncio.start_server(self._serve, host, port, limit=_LINE_LIMIT)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening, and any flow."""
        await self._flow.stop()
        if self._listener:
            self._listener.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(json.dumps(self._answer(line)).encode() + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError, asyncio.CancelledError):
            pass  # the caller went away, sent too long a line, or we are closing
        finally:
            writer.close()

    def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            arguments = json.loads(line)
            name = arguments.pop("call")
            handler: Callable[..., Any] = getattr(self, f"do_{name}")
            return {"ok": handler(**arguments)}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            return {"error": f"{type(error).__name__}: {error}"}

    # --- accounts and chats --------------------------------------------------

    def do_info(self) -> dict[str, Any]:
        """What runs here."""
        server = self._server
        cpu = os.times()
        return {
            "host": server.host,
            "port": server.port,
            "pid": os.getpid(),
            "public_key": server.rsa.public_pem.decode(),
            "accounts": len(server.world.accounts),
            "channels": len(server.world.channels),
            "connections": len(server.connections),
            "requests": server.requests,
            "messages": sum(len(it.box.messages) for it in server.world.channels.values()),
            "rss": psutil.Process().memory_info().rss,
            "cpu_seconds": cpu.user + cpu.system,
            "seconds": time.monotonic() - self._begun,
        }

    def do_provision(self, count: int = 1, name: str = "") -> list[dict[str, Any]]:
        """Create accounts, each with a login ready for use."""
        return [self._login(self._server.world.add_account(name=name)) for _ in range(count)]

    def do_login(self, account: int) -> dict[str, Any]:
        """Make one more login (auth key) for an account."""
        return self._login(self._server.world.accounts[account])

    def do_channels(self, channels: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Create channels, each given as the arguments of World.add_channel."""
        made = [self._server.world.add_channel(**it) for it in channels]
        return [{"id": it.marked, "access_hash": it.hash, "title": it.title} for it in made]

    def do_group(self, title: str, creator: int, members: list[int]) -> dict[str, Any]:
        """Create a basic group."""
        group = self._server.world.add_group(title, creator, members)
        return {"id": group.marked, "title": group.title}

    def do_resolve(self, name: str) -> int:
        """The marked id of a public name."""
        peer = self._server.world.usernames[name.removeprefix("@").lower()]
        return peer.id if isinstance(peer, Account) else peer.marked

    def do_protect(self, chat: int, on: bool = True) -> bool:
        """Forbid (or allow) forwards out of a channel."""
        peer = self._server.world.find(chat)
        if not isinstance(peer, Channel):
            raise KeyError(chat)
        peer.noforwards = on
        return on

    def do_code(self, phone: str) -> str:
        """The code of a sign-in under way."""
        return self._server.codes[phone.lstrip("+")][1]

    def do_password(self, account: int, password: str) -> bool:
        """Set an account's two-step verification; an empty password ends it."""
        held = self._server.world.accounts[account]
        held.password = srp.verifier(password) if password else None
        return bool(password)

    def do_scan(self, url: str, account: int) -> bool:
        """Scan a QR code with an account's phone."""
        if account not in self._server.world.accounts:
            raise KeyError(account)
        return self._server.qr.scan(url, account)

    def do_chats(self) -> list[dict[str, Any]]:
        """All channels and groups."""
        world = self._server.world
        chats: list[Channel | Group] = [*world.channels.values(), *world.groups.values()]
        return [{"id": it.marked, "title": it.title, "members": len(it.members)} for it in chats]

    # --- messages -------------------------------------------------------------

    def do_post(self, chat: int, text: str, author: int = 0) -> int:
        """Post one message as an account (0: the channel itself)."""
        return post(self._server, chat, author, text)

    def do_flow(self, chats: list[list[int]], count: int, rate: float) -> bool:
        """Post a stream of messages over chats, given as [id, author]."""
        if not chats or count < 0 or rate <= 0:
            raise ValueError("a flow needs chats, a count and a rate above 0")
        if not self._flow.progress.done:
            raise ValueError("a flow is running already")
        self._flow.start([(chat, author) for chat, author in chats], count, rate)
        return True

    def do_stop_flow(self) -> bool:
        """End the stream now."""
        self._flow.cancel()
        return True

    def do_progress(self) -> dict[str, Any]:
        """How far the flow has come."""
        return asdict(self._flow.progress)

    # --- the ledger -------------------------------------------------------------

    def do_expect(self, routes: list[list[int]]) -> int:
        """Promise copies: [source, destination, account] each."""
        for source, destination, account in routes:
            self._server.ledger.expect(source, destination, account)
        return len(self._server.ledger.routes)

    def do_forget_routes(self) -> bool:
        """Promise nothing any more."""
        self._server.ledger.routes.clear()
        return True

    def do_judge(self) -> dict[str, Any]:
        """The verdict over all promised routes."""
        verdict, latencies = self._server.ledger.judge()
        return {
            **asdict(verdict),
            "revoked": len(self._server.overlaps),
            "latency_ms": {"p50": _percentile(latencies, 0.5), "p99": _percentile(latencies, 0.99)},
        }

    def do_span(self) -> float:
        """Seconds from the first promised post to the newest copy."""
        return self._server.ledger.span()

    def do_missing(self, most: int = 20) -> list[dict[str, Any]]:
        """Promised copies that are not there."""
        return self._server.ledger.missing(most)

    def do_messages(
        self, chat: int, account: int = 0, after: int = 0, most: int = 100
    ) -> list[dict[str, Any]]:
        """A chat's messages after an id."""
        return self._server.ledger.rows(chat, account, after, most)

    def do_overlaps(self) -> list[dict[str, Any]]:
        """Logins that were used twice at once."""
        return self._server.overlap_rows()

    def do_status(self, accounts: list[int]) -> dict[str, Any]:
        """Connection state of accounts, by id."""
        return {str(it): self._server.status(it) for it in accounts}

    def do_first_copies(self, since: dict[str, float]) -> dict[str, float]:
        """When each account first copied after its time (this machine's monotonic s)."""
        found = self._server.ledger.first_copies({int(k): v for k, v in since.items()})
        return {str(k): v for k, v in found.items()}

    # --- faults --------------------------------------------------------------

    def do_flood(self, seconds: float, account: int = 0, chat: int = 0) -> bool:
        """Answer sends with FLOOD_WAIT for a time (0: any account, any chat)."""
        self._server.faults.add_flood(account, chat, seconds)
        return True

    def do_drop(self, account: int = 0) -> int:
        """Cut an account's connections (0: all)."""
        return self._server.drop(account)

    def do_delay(self, seconds: float) -> float:
        """Hold back every answer and push for so long."""
        self._server.faults.delay_seconds = seconds
        return seconds

    def do_refuse(self, on: bool = True) -> bool:
        """Refuse new connections, or take them again."""
        self._server.faults.refusing = on
        return on

    def do_stop(self) -> bool:
        """End the sandbox."""
        self.shutdown.set()
        return True

    def _login(self, account: Account) -> dict[str, Any]:
        # The first byte is not zero: Telethon strips leading zeros of a key.
        key = AuthKey(b"\x01" + os.urandom(255), new_salt(), account.id)
        self._server.keys[key.key_id] = key
        session = StringSession()
        session.set_dc(2, self._server.host, self._server.port)
        session.auth_key = TelethonKey(key.data)
        return {
            "account": account.id,
            "phone": account.phone,
            "username": account.username,
            "name": account.first_name,
            "login": session.save(),
        }


def _percentile(values: list[float], share: float) -> float | None:
    if not values:
        return None
    ordered = sorted(values)
    return round(1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))], 3)
