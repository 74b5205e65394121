"""One session on this node: its connection, its updates, and what it forwards."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from telethon import utils
from telethon.tl import types

from afx.clock import Clock
from afx.cluster.specs import SessionSpec
from afx.forwarding.rules import ResolvedRule, compile_routes
from afx.node.connection import Connection
from afx.node.forwarder import Forwarder, Link, Pause
from afx.reasons import FailureReason, TroubleReason
from afx.telegram.client import AccountClient
from afx.telegram.peers import Peers, UnknownChatError
from afx.telegram.positions import UnreadableSourceError, cursor_fields, set_positions
from afx.telegram.session import MalformedPositionError, StoredSession
from afx.telegram.updates import UpdateReader

_SILENCE_SECONDS = 900.0
"""So long without an update calls for the account's difference (api/updates)."""


@dataclass(slots=True)
class Totals:
    """What a host counts over all of its sessions."""

    forwarded: int = 0


@dataclass(slots=True, frozen=True, kw_only=True)
class Environment:
    """What all sessions of a host share."""

    api_id: int
    api_hash: str
    connection: type
    """The class of Telethon connections; it checks the lease before each write."""
    may_write: Callable[[], bool]
    """Whether the node's lease still lasts."""
    dirty: Callable[[HostedSession], None]
    """Called when a session has progress to commit."""
    gave_up: Callable[[HostedSession, BaseException], None]
    """Called when a session's login no longer works."""
    trouble: Callable[[HostedSession, TroubleReason, str], None]
    clock: Clock
    rng: random.Random
    totals: Totals


class StartError(Exception):
    """A session cannot start; the text is for the customer."""

    def __init__(self, reason: FailureReason, text: str) -> None:
        super().__init__(text)
        self.reason = reason


@dataclass(slots=True, frozen=True)
class Progress:
    """What a session has settled since the last commit."""

    cursor: list[str]
    """Fields and values of its cursor hash, in turn."""
    links: list[Link]
    entities: dict[str, str]
    """Access hashes, by chat."""


class HostedSession:
    """A session that this node runs; one record of its host owns it."""

    __slots__ = (
        "_client",
        "_env",
        "_received",
        "_silent_since",
        "_stored",
        "changed",
        "connection",
        "epoch",
        "forwarder",
        "next_poll",
        "peers",
        "reader",
        "sent",
        "spec",
    )

    def __init__(
        self, spec: SessionSpec, epoch: int, stored: StoredSession, env: Environment
    ) -> None:
        # The sealed login is not needed any more; 5,000 of them would cost memory.
        self.spec = replace(spec, login="")
        self.epoch = epoch
        self.sent = 0
        self.changed = False
        self.next_poll = 0.0
        self._env = env
        self._received = 0
        self._silent_since = env.clock.monotonic()
        self._stored = stored
        is_local = stored.server_address in ("127.0.0.1", "::1", "localhost")
        self._client = AccountClient(
            stored,
            api_id=env.api_id or int(is_local),
            api_hash=env.api_hash or "sandbox",
            connection=env.connection,
            on_updates=lambda update: self.reader.on_updates(update),  # noqa: PLW0108  set below
            device=f"afx {spec.session}",
        )
        self.peers = Peers(self._client, stored)
        self.forwarder = Forwarder(self._client, self.peers, self)
        self.reader = UpdateReader(self._client, self.peers, self.forwarder, self)
        self.connection = Connection(self._client, self, env.clock, env.rng)

    @property
    def client(self) -> AccountClient:
        """The Telegram client, for tasks."""
        return self._client

    @property
    def session_id(self) -> int:
        """The session's id."""
        return self.spec.session

    # --- start and stop ------------------------------------------------------------

    async def start(self) -> None:
        """Connect, resolve the rules' chats, and set the positions of the updates.

        What was missed is fetched in the background, beside what is new. The caller calls
        ``stop`` if this raises: StartError, an error that says that the login is lost, or
        ConnectionError.
        """
        await self.connection.open(self._prepare)
        self.reader.start_catch_up()

    async def stop(self) -> None:
        """Stop forwarding and disconnect; progress is left for the last commit.

        When this returns, no connection exists or can come to exist.
        """
        try:
            await self.connection.end()
            await self.reader.stop()
            await self.forwarder.drain()
        finally:
            await self.connection.close()

    async def _prepare(self) -> None:
        rules = self.spec.rules
        chats = [chat for rule in rules for chat in (*rule.sources, *rule.destinations)]
        try:
            ids = await self.peers.resolve(chats)
        except UnknownChatError as error:
            raise StartError(FailureReason.CHAT_UNKNOWN, str(error)) from error
        routes = compile_routes(
            ResolvedRule(
                rule.id,
                tuple(ids[chat] for chat in rule.sources),
                tuple(ids[chat] for chat in rule.destinations),
                "forward" if rule.mode == "forward" else "copy",
            )
            for rule in rules
        )
        self.forwarder.set_routes(routes, self._last_settled)
        try:
            await set_positions(self._client, self.reader, self._stored, self.peers, routes)
        except UnreadableSourceError as error:
            raise StartError(FailureReason.CHAT_UNREADABLE, str(error)) from error
        except MalformedPositionError as error:
            raise StartError(FailureReason.STATE_MALFORMED, str(error)) from error
        self.progressed()

    def _last_settled(self, chat: int) -> int:
        bare, kind = utils.resolve_id(chat)
        box = self.reader.channels.get(bare) if kind is types.PeerChannel else self.reader.account
        return box.last_ids.get(chat, 0) if box else 0

    # --- while it runs -------------------------------------------------------------

    def pause(self) -> None:
        """Send nothing new: the node's lease is running out."""
        self.forwarder.pause(Pause.LEASE)

    def resume(self) -> None:
        """Go on: the lease was renewed."""
        self.forwarder.resume(Pause.LEASE)

    def poll(self) -> None:
        """Ask for what was never pushed to the source chats.

        The account's difference is requested if a source lies in its box, and otherwise
        after a long silence (api/updates, "Recovering gaps").
        """
        if not self._client.is_connected():
            return
        if self.reader.account.last_ids or self._is_silent():
            self.reader.sync_later(self.reader.account)
        for box in self.reader.channels.values():
            self.reader.sync_later(box)

    def _is_silent(self) -> bool:
        """Return whether no update has arrived for long; if so, the time begins again."""
        now = self._env.clock.monotonic()
        received = self.reader.received
        if received != self._received:
            self._received, self._silent_since = received, now
        if now - self._silent_since < _SILENCE_SECONDS:
            return False
        self._silent_since = now
        return True

    # --- what is to be committed ----------------------------------------------------

    def collect_uncommitted(self) -> Progress:
        """Return what is to be committed since the last call."""
        self.changed = False
        entities, self._stored.fresh = self._stored.fresh, {}
        return Progress(cursor_fields(self.reader), self.forwarder.take_links(), entities)

    def put_back(self, progress: Progress) -> None:
        """Take back progress that could not be committed."""
        self.forwarder.put_back(progress.links)
        self._stored.fresh = {**progress.entities, **self._stored.fresh}
        self.progressed()

    def note_committed(self) -> None:
        """All progress that was collected is stored."""
        self.forwarder.note_committed()

    def mark_all_dirty(self) -> None:
        """Let the next commit write all that is known, not only what is new."""
        self._stored.fresh = dict(self._stored.hashes)
        self.progressed()

    # --- what its parts report ---------------------------------------------------------

    def progressed(self) -> None:
        """There is something to commit."""
        if not self.changed:
            self.changed = True
            self._env.dirty(self)

    def forwarded(self) -> None:
        """One message has been sent."""
        self.sent += 1
        self._env.totals.forwarded += 1

    def lost(self, error: BaseException) -> None:
        """The connection, or the login, is lost."""
        self.connection.lost(error)

    def may_write(self) -> bool:
        """Return whether the node's lease still lasts."""
        return self._env.may_write()

    async def suspend(self) -> None:
        """The connection is lost: await no answer any more."""
        await self.reader.stop()
        await self.forwarder.cancel()

    def start_catch_up(self) -> None:
        """The connection is back: fetch what was missed, and go on sending."""
        self.reader.start_catch_up()

    def give_up(self, error: BaseException) -> None:
        """Telegram no longer accepts the login."""
        self._env.gave_up(self, error)

    def trouble(self, reason: TroubleReason, text: str) -> None:
        """Report what hinders the session."""
        self._env.trouble(self, reason, text)
