"""One session on this node: its connection, its updates, and what it forwards."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from afx.cluster.specs import RuleSpec, SessionSpec
from afx.devices import Device, own_device
from afx.node import moved_login, session_progress
from afx.node.account_signs import FreezeInquiry
from afx.node.chat_watch import ChatWatch
from afx.node.closed_routes import RuleTrouble
from afx.node.connection import Connection
from afx.node.environment import Environment
from afx.node.forwarder import Forwarder
from afx.node.login_limit import LoginInquiry
from afx.node.outputs import SessionOutputs
from afx.node.pause import Pause
from afx.node.progress import Progress
from afx.node.rule_watch import RuleWatch
from afx.node.silence import Silence
from afx.node.waits import Waits
from afx.proxies import Proxy
from afx.reasons import DeadReason, TroubleReason
from afx.telegram.client import AccountClient
from afx.telegram.peers import Peers
from afx.telegram.positions import stale_fields
from afx.telegram.session import StoredSession
from afx.telegram.transport import routed
from afx.telegram.updates import UpdateReader


class HostedSession:
    """A session that this node runs; one record of its host owns it."""

    __slots__ = (
        "_client",
        "_env",
        "_inquiry",
        "_login_inquiry",
        "_moved",
        "_rules",
        "_silence",
        "_stale",
        "_stale_taken",
        "_stored",
        "_watch",
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
        self,
        spec: SessionSpec,
        epoch: int,
        stored: StoredSession,
        env: Environment,
        *,
        proxy: Proxy | None = None,
        device: Device | None = None,
    ) -> None:
        """``proxy``: it connects through this one only; ``device``: it was imported as this."""
        # What is sealed is not needed any more; 5,000 of them would cost memory.
        self.spec = replace(spec, login="", sealed_proxy="", sealed_device="", proof="")
        self.epoch = epoch
        self.sent = 0
        self.changed = False
        self.next_poll = 0.0
        self._env = env
        self._inquiry: FreezeInquiry | None = None
        self._login_inquiry: LoginInquiry | None = None
        self._stale: Sequence[str] = ()
        self._stale_taken: Sequence[str] = ()
        self._silence = Silence(env.clock)
        self._stored = stored
        is_local = stored.server_address in ("127.0.0.1", "::1", "localhost")
        self._client = AccountClient(
            stored,
            api_id=(device and device.api_id) or env.api_id or int(is_local),
            api_hash=(device and device.api_hash) or env.api_hash or "sandbox",
            connection=routed(env.connection, proxy),
            on_updates=self._take_updates,
            device=device or own_device(spec.session),
            pings=env.pings,
        )
        self._moved = moved_login.resume(self._client, stored, env.sealer, spec.session)
        outputs = SessionOutputs(env.outputs, spec.session) if env.outputs else None
        self.peers = Peers(self._client, stored, outputs, self)
        self.forwarder = Forwarder(
            self._client,
            self.peers,
            env.links,
            self,
            session=spec.session,
            epoch=epoch,
            waits=Waits(env.clock.time, env.rng),
            now=env.clock.time,
            monotonic=env.clock.monotonic,
            counts=env.totals.rules,
            pools=env.pools,
            sealer=env.sealer,
            parts=env.file_parts,
        )
        self.forwarder.waits.load(stored.cursors)
        if spec.new_since and not is_local:
            self.forwarder.waits.budgets.begin_slowly(spec.new_since, spec.new_seconds)
        self.reader = UpdateReader(self._client, self.peers, self.forwarder, self)
        self._client.follow(self.reader.channels)
        self._watch = ChatWatch(
            spec.session,
            env.chats,
            env.links,
            reader=self.reader,
            forwarder=self.forwarder,
            owner=self,
        )
        self._rules = RuleWatch(
            spec.rules,
            client=self._client,
            peers=self.peers,
            reader=self.reader,
            forwarder=self.forwarder,
            chats=self._watch,
            owner=self,
            clock=env.clock,
            rng=env.rng,
        )
        self.connection = Connection(self._client, self, env.clock, env.rng)

    def _take_updates(self, update: Any) -> None:
        self._env.totals.arrivals += 1
        self.reader.on_updates(update)

    @property
    def client(self) -> AccountClient:
        """The Telegram client, for tasks."""
        return self._client

    def wait_left(self, key: int | str) -> float:
        """Return for how many seconds no request of a budget is to be made (see ``budgets``)."""
        return self.forwarder.waits.held(key)

    def note_request(self, key: int | str) -> None:
        """Count a request of a budget that a task makes."""
        self.forwarder.waits.take(key)
        if self.forwarder.waits.budgets.is_changed:
            self.progressed()

    def note_wait(self, key: int | str, seconds: float, reason: str) -> None:
        """Note a wait that a task has met: lanes, other tasks and later runs obey it, too."""
        self.forwarder.note_wait(key, seconds, reason)

    @property
    def session_id(self) -> int:
        """The session's id."""
        return self.spec.session

    async def redeliver(
        self,
        rule: int,
        source: int,
        destination: int,
        messages: Sequence[int],
        *,
        reason: DeadReason | None = None,
    ) -> bool:
        """Try dead letters of a route again; False when another node has the session.

        ``reason`` is why they are dead letters, where that tells what is to be done.
        They are reported as revived once their outbox is stored, so none is lost between.
        """
        self.forwarder.revive(rule, source, destination, messages, reason=reason)
        if not await self.store():
            return False
        self.forwarder.dead.report_revived()
        self.progressed()
        return await self.store()

    @property
    def has_caught_up(self) -> bool:
        """Whether all that it missed is settled: accepted, refused, or for a closed destination.

        What waits in the outbox of another one would only grow, each time that it wakes.
        """
        return (
            self._client.is_connected()
            and (self._login_inquiry is None or self._login_inquiry.is_over)
            and self.reader.is_idle
            and not any(it.syncing or it.tickets or it.waiting for it in self.reader.boxes())
            and not self.forwarder.has_backlog()
        )

    def next_due(self) -> int:
        """Return when the first of what is sent or deleted later is due, in Unix seconds; or 0."""
        return self.forwarder.later.next_due()

    # --- start and stop ------------------------------------------------------------

    async def start(self) -> None:
        """Connect, resolve the rules' chats, and set the positions of the updates.

        What was missed is fetched in the background. A chat that cannot be used stops the
        routes that lead through it, not the session (``rule_troubles``). The caller calls
        ``stop`` if this raises: StartError, an error that says that the login is lost, or
        ConnectionError.
        """
        await self.connection.open(self._prepare)
        self.reader.start_catch_up()
        if not self.spec.rules:
            # It may sleep for as long as its login lasts: one with rules wakes much sooner.
            self._login_inquiry = LoginInquiry(
                self._client, lambda days: self._env.login_limit(self, days), self.lost
            )

    async def stop(self) -> None:
        """Stop forwarding and disconnect; progress is left for the last commit.

        When this returns, no connection exists or can come to exist.
        """
        self._watch.end()
        try:
            await self.connection.end()
            await self._rules.stop()
            await self.reader.stop()
            await self.forwarder.drain()
            await self._end_inquiry()
        finally:
            await self.connection.close()

    async def _prepare(self) -> None:
        await self._rules.begin(self._stored)
        self._stale = tuple(stale_fields(self.reader, self._stored))
        self.progressed()

    # --- while it runs -------------------------------------------------------------

    @property
    def rule_troubles(self) -> dict[int, RuleTrouble]:
        """What is wrong with rules, by their ids."""
        return self._rules.troubles

    @property
    def known_chats(self) -> set[int]:
        """All chats of its rules that the account knows."""
        return self._rules.known

    def renew(self, rules: Sequence[RuleSpec]) -> None:
        """Use the filters and transforms of these rules from now on, and what is new of them."""
        self.spec = replace(self.spec, rules=tuple(self._rules.renew(rules)))
        if self._client.is_connected():
            self._rules.poll()

    def pause(self) -> None:
        """Send nothing new: the node's lease is running out."""
        self.forwarder.lanes.pause(Pause.LEASE)

    def resume(self) -> None:
        """Go on: the lease was renewed."""
        self.forwarder.lanes.resume(Pause.LEASE)

    def poll(self) -> None:
        """Ask for what was never pushed to the source chats.

        The account's difference is requested if a source lies in its box, and otherwise
        after a long silence (api/updates, "Recovering gaps").
        """
        self.forwarder.links.forget_old()
        self.forwarder.held.forget_old()
        self.forwarder.transfers.end_idle()
        if not self._client.is_connected():
            return
        self._rules.poll()
        if self.reader.account.last_ids or self._silence.is_over(self.reader.received):
            self.reader.sync_later(self.reader.account)
        for box in self.reader.channels.values():
            self.reader.sync_later(box)

    # --- what is to be committed ----------------------------------------------------

    def collect_uncommitted(self) -> Progress:
        """Return what is to be committed since the last call."""
        self.changed = False
        self._stale_taken = self._stale
        made = session_progress.collect(self.forwarder, self.reader, self._stored, self._stale)
        sealer, moved = self._env.sealer, self._moved
        fields, self._moved = moved_login.fields(self._client, sealer, self.spec.session, moved)
        made.cursor.extend(fields)
        return made

    def put_back(self, progress: Progress) -> None:
        """Take back progress that could not be committed."""
        self._moved = None
        self.forwarder.put_back(progress.links)
        self.forwarder.intents.put_back(progress.intents)
        self._stored.fresh = {**progress.entities, **self._stored.fresh}
        self.progressed()

    def note_committed(self) -> None:
        """All progress that was collected is stored."""
        self._stale = tuple(it for it in self._stale if it not in self._stale_taken)
        self.forwarder.note_committed()

    def mark_all_dirty(self) -> None:
        """Let the next commit write all that is known, not only what is new."""
        self._moved = None
        session_progress.mark_all(self.forwarder, self._stored)
        self.progressed()

    # --- what its parts report ---------------------------------------------------------

    def progressed(self) -> None:
        """There is something to commit."""
        if not self.changed:
            self.changed = True
            self._env.dirty(self)

    async def store(self) -> bool:
        """Commit all that there is; waits until it is stored. False: another node has it."""
        return await self._env.store(self)

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
        await self._rules.stop()
        await self.reader.stop()
        await self.forwarder.backfiller.stop()
        await self.forwarder.lanes.cancel()
        await self._end_inquiry()

    def start_catch_up(self) -> None:
        """The connection is back: fetch what was missed, and go on sending."""
        self.reader.start_catch_up()
        self._rules.poll()
        if self._client.elsewhere != self._moved:
            self.progressed()

    def give_up(self, error: BaseException) -> None:
        """Telegram no longer accepts the login."""
        self._env.gave_up(self, error)

    def trouble(self, reason: TroubleReason, text: str) -> None:
        """Report what hinders the session."""
        self._env.trouble(self, reason, text)
        if reason is TroubleReason.ACCOUNT_FROZEN and self._inquiry is None:
            self._inquiry = FreezeInquiry(
                self._client, lambda more: self._env.trouble(self, reason, f"{text}; {more}")
            )

    async def _end_inquiry(self) -> None:
        if self._inquiry is not None:
            inquiry, self._inquiry = self._inquiry, None
            await inquiry.stop()
        if self._login_inquiry is not None:
            await self._login_inquiry.stop()

    # --- what becomes of its rules ---------------------------------------------------------

    def source_closed(self, channel: int, reason: str) -> None:
        """A source channel, by its bare id, cannot be read any more."""
        self._rules.source_closed(channel, reason)

    def destination_closed(self, destination: int, reason: str) -> None:
        """A destination takes no messages; what is for it waits."""
        self._rules.destination_closed(destination, reason)

    def destination_works(self, destination: int) -> None:
        """A message has arrived at a destination that was closed."""
        self._rules.destination_works(destination)

    def hindered(self, destination: int, text: str) -> None:
        """What is sent to a destination keeps failing, and why; "" when it does not any more."""
        self._rules.hindered(destination, text)

    def capped(self, rule: int, text: str) -> None:
        """Messages of a rule wait because of its caps, or do so no more ("")."""
        self._rules.capped(rule, text)

    def senders_hindered(self, rule: int, text: str) -> None:
        """Something is wrong with the senders of a rule, or is no more ("")."""
        self._rules.senders_hindered(rule, text)

    def rule_changed(self, rule: int, trouble: RuleTrouble | None) -> None:
        """A rule does not forward all that it should, or does so again."""
        self._env.rule_changed(self, rule, trouble)

    def forget_fields(self, fields: Iterable[str]) -> None:
        """Remove these fields of the stored cursor."""
        self._stale = (*self._stale, *fields)
        self.progressed()

    def keep_fields(self, fields: Iterable[str]) -> None:
        """Do not remove these fields after all."""
        kept = set(fields)
        self._stale = tuple(it for it in self._stale if it not in kept)
