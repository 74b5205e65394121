"""Delivers events to webhooks, and writes those that SQL does not know yet."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, wait
from contextlib import suppress
from datetime import timedelta

import redis
import structlog

from afx.clock import Clock
from afx.cluster import events
from afx.cluster.leadership import Leadership
from afx.config import Settings
from afx.coordinator.database_outage import SQL_ERRORS
from afx.coordinator.decisions import webhook_shares
from afx.coordinator.decisions.webhook_retries import pause_seconds
from afx.coordinator.decisions.webhook_shares import Place
from afx.coordinator.fencing import fenced_transaction
from afx.coordinator.interval import Interval
from afx.errors import FencedError, SecretError
from afx.security import webhook_request
from afx.security.login_servers import parse_networks
from afx.security.vault import Vault
from afx.security.webhook_request import Result
from afx.security.webhook_signature import signature
from models.base import utc_now
from models.storage import webhook_deliveries, webhooks
from models.storage.webhook_deliveries import Attempted, Due
from models.storage.webhooks import Event

_SECONDS = 1.0
_CLAIM_SECONDS = 30.0
"""How long a leader that comes next leaves alone what this one was sending."""
_CLOSE_SECONDS = 1.0
_SLOW_SECONDS, _SLOW_FOR_SECONDS = 2.0, 600.0
"""A request that takes this long makes its user a slow one, for so long."""
_MOST_PENDING = 1_000
_MOST_TURNS = 1_000

log = structlog.get_logger()


class WebhookSender:
    """The deliveries of one term: SQL is read and written by its thread, others send.

    A delivery is claimed in SQL before it is sent, and noted when it was: a leader that
    dies in between repeats it. So a receiver gets each event at least once, and knows a
    repetition by the header ``AFX-Delivery``.
    """

    def __init__(
        self,
        settings: Settings,
        leadership: Leadership,
        client: redis.Redis,
        vault: Vault | None,
        *,
        clock: Clock,
        rng: random.Random,
        post: Callable[..., Result] = webhook_request.post,
    ) -> None:
        """``vault`` opens the secrets; without one nothing is delivered."""
        self._leadership = leadership
        self._redis = client
        self._vault = vault
        self._clock = clock
        self._rng = rng
        self._post = post
        self._networks = parse_networks(settings.webhook_networks)
        self._suspend_after = timedelta(hours=settings.webhook_suspend_hours)
        self._interval = Interval(_SECONDS)
        self._pending: list[Event] = []
        self._sending: dict[Future[Result], tuple[Due, Place, float]] = {}
        """With the time at which each was begun."""
        self._slow: dict[str, float] = {}
        """Users with a slow receiver → when it was met last."""
        self._turns: dict[Place, int] = {}
        """When each webhook was last served."""

    def note(self, event: Event) -> None:
        """Take an event that no transaction of its own writes; SQL may be away now."""
        if len(self._pending) < _MOST_PENDING:
            self._pending.append(event)

    def step(self, now: float) -> None:
        """Write what was noted and what came of deliveries, and send what is due."""
        if self._pending:
            with fenced_transaction(self._leadership):
                webhooks.record_events(self._pending)
            self._pending = []
        if not self._interval.is_due(now) or self._vault is None:
            return
        self._note_slow(now)
        self._note_results()
        self._send_due(self._vault, now)

    def close(self) -> None:
        """Note what ends at once; what is not noted is sent again by the next leader."""
        if self._sending:
            wait(self._sending, timeout=_CLOSE_SECONDS)
            with suppress(*SQL_ERRORS, FencedError, redis.RedisError):
                self._note_results()

    def _note_slow(self, now: float) -> None:
        """Note whose receivers take long: they share a part of the requests for a while."""
        for due, _, begun in self._sending.values():
            if due.owner is not None and now - begun >= _SLOW_SECONDS:
                self._slow[due.owner] = now
        self._slow = {k: at for k, at in self._slow.items() if now - at < _SLOW_FOR_SECONDS}

    def _note_results(self) -> None:
        ended = [it for it in self._sending if it.done()]
        if not ended:
            return
        rows = [self._attempted(self._sending[it][0], _result(it)) for it in ended]
        with fenced_transaction(self._leadership):
            suspended = webhook_deliveries.note_attempts(rows, self._suspend_after)
        for it in ended:
            del self._sending[it]
        for row in rows:
            if row.error:
                log.warning("webhook_failed", webhook=row.due.webhook, error=row.error)
        for name in suspended:
            log.error("webhook_suspended", webhook=name)
            events.announce(self._redis, "webhook_suspended", webhook=name)

    def _attempted(self, due: Due, result: Result) -> Attempted:
        retry = None
        if result.error:
            retry = pause_seconds(due.attempts + 1, self._rng.random(), result.retry_after)
        return Attempted(due=due, status=result.status, error=result.error, retry_seconds=retry)

    def _send_due(self, vault: Vault, begun: float) -> None:
        if len(self._sending) >= webhook_shares.AT_ONCE:
            return
        now = utc_now()
        under_way = [place for _, place, _ in self._sending.values()]
        waiting = {
            Place(*it): ids
            for it, ids in webhook_deliveries.waiting(
                now,
                most=webhook_shares.OF_WEBHOOK,
                besides=[due.id for due, _, _ in self._sending.values()],
            ).items()
        }
        counts = {it: len(ids) for it, ids in waiting.items()}
        chosen = {
            waiting[it].pop(0): it
            for it in webhook_shares.next_ones(counts, under_way, self._turns, self._slow)
        }
        rows = webhook_deliveries.load(list(chosen), now)
        if not rows:
            return
        with fenced_transaction(self._leadership):
            webhook_deliveries.claim(rows, now + timedelta(seconds=_CLAIM_SECONDS))
        self._note_turns(chosen.values())
        for it in rows:
            future: Future[Result] = Future()
            # No thread of a pool: a process that ends does not wait for a receiver.
            threading.Thread(
                target=self._deliver_into, args=(future, it, vault), name="webhook", daemon=True
            ).start()
            self._sending[future] = it, chosen[it.id], begun

    def _note_turns(self, places: Iterable[Place]) -> None:
        for place in places:
            turn = max(self._turns.values(), default=0) + 1
            self._turns.pop(place, None)
            self._turns[place] = turn
        for place in list(self._turns)[:-_MOST_TURNS]:
            del self._turns[place]

    def _deliver_into(self, future: Future[Result], due: Due, vault: Vault) -> None:
        try:
            future.set_result(self._deliver(due, vault))
        except Exception as error:
            future.set_exception(error)

    def _deliver(self, due: Due, vault: Vault) -> Result:
        try:
            keys = [vault.open_webhook_secret(it) for it in due.secrets]
        except SecretError as error:
            return Result(None, str(error))
        body = body_of(due)
        headers = headers_of(due, keys, body, timestamp=int(self._clock.time()))
        return self._post(due.url, body, headers, networks=self._networks)


def body_of(due: Due) -> bytes:
    """Return what a receiver gets: the same bytes in each attempt."""
    fields = {
        "id": due.key,
        "kind": due.kind,
        "subject": due.subject,
        "owner": due.owner,
        "at": due.at.isoformat(),
        "details": due.details,
    }
    return json.dumps(fields, separators=(",", ":")).encode()


def headers_of(due: Due, keys: Sequence[str], body: bytes, *, timestamp: int) -> dict[str, str]:
    """Return the headers of a request that is sent at a time, in seconds since 1970."""
    return {
        "user-agent": "afx-webhook/1",
        "content-type": "application/json",
        "afx-event": due.kind,
        "afx-delivery": f"{due.key}-{due.webhook_id}",
        "afx-timestamp": str(timestamp),
        "afx-signature": signature(keys, timestamp, body),
    }


def _result(ended: Future[Result]) -> Result:
    if (error := ended.exception()) is not None:
        log.error("webhook_broken", error=type(error).__name__)
        return Result(None, "it could not be sent for an internal error")
    return ended.result()
