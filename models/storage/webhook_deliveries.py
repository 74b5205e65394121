"""Deliveries of events to webhooks: an outbox that survives its senders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from peewee import JOIN, SQL, fn

from afx.errors import NotFoundError
from models import paging
from models.accounts import User
from models.base import execute, instant, micros, transaction, utc_now
from models.paging import Page
from models.storage import webhooks
from models.webhook_tables import EventKind, Webhook, WebhookDelivery, WebhookEvent

SIDES = ("operator", "users")
"""Whose webhooks are: without an owner they are the operator's."""


@dataclass(slots=True, frozen=True, kw_only=True)
class Due:
    """A delivery whose time has come, and what is to be sent."""

    id: int
    webhook_id: int
    webhook: str
    url: str
    secrets: tuple[str, ...]
    """Sealed; the newest first."""
    attempts: int
    """Those before this one."""
    key: str
    kind: str
    subject: str
    owner: str | None
    details: Mapping[str, Any]
    at: datetime


@dataclass(slots=True, frozen=True, kw_only=True)
class Attempted:
    """What came of an attempt."""

    due: Due
    status: int | None
    """Of the answer, if there was one."""
    error: str
    """Why it failed; empty: it was delivered."""
    retry_seconds: float | None = None
    """After how long a failed one is tried again; None: it is not."""


@dataclass(slots=True, frozen=True, kw_only=True)
class Figures:
    """How the webhooks of one side, and their deliveries, fare."""

    active: int
    failing: int
    """Of those that are not suspended: their last delivery failed."""
    suspended: int
    failing_since: datetime | None
    """Since when the one fails that has failed longest, and is not suspended."""
    waiting: int
    oldest_at: datetime | None
    """When the oldest event happened that waits to be delivered."""
    due_at: datetime | None
    """When the first of what waits was to be tried; in the past: it is late."""
    failed: int
    """Deliveries that were given up since an instant."""
    left_out: int


def figures(since: datetime) -> dict[str, Figures]:
    """Return how webhooks and their deliveries fare, by whose they are.

    ``operator`` has those without an owner, ``users`` all others. Failures are counted since
    an instant.
    """
    of_webhooks = _by_side(
        "SUM(CASE WHEN w.state = 'active' AND w.failing_since IS NULL THEN 1 ELSE 0 END),"
        " SUM(CASE WHEN w.state = 'active' AND w.failing_since IS NOT NULL THEN 1 ELSE 0 END),"
        " SUM(CASE WHEN w.state = 'suspended' THEN 1 ELSE 0 END),"
        " MIN(CASE WHEN w.state = 'active' THEN w.failing_since END), SUM(w.left_out)"
        " FROM webhooks w",
    )
    joined = " FROM webhook_deliveries d JOIN webhooks w ON w.id = d.webhook_id WHERE"
    waits = _by_side(
        f"COUNT(*), MIN(d.created_at), MIN(d.next_at){joined} d.state = 'waiting'",
    )
    given_up = _by_side(
        f"COUNT(*){joined} d.finished_at >= ? AND d.state = 'failed'", micros(since)
    )
    found = {}
    for side in SIDES:
        active, failing, suspended, failing_since, left_out = of_webhooks.get(
            side, (0, 0, 0, None, 0)
        )
        waiting, oldest_at, due_at = waits.get(side, (0, None, None))
        [failed] = given_up.get(side, (0,))
        found[side] = Figures(
            active=int(active),
            failing=int(failing),
            suspended=int(suspended),
            failing_since=_instant(failing_since),
            waiting=int(waiting),
            oldest_at=_instant(oldest_at),
            due_at=_instant(due_at),
            failed=int(failed),
            left_out=int(left_out),
        )
    return found


def _by_side(rest: str, *values: Any) -> dict[str, tuple[Any, ...]]:
    """Return the rows of a statement about webhooks, ``w``, by whose they are."""
    side = f"CASE WHEN w.owner_id IS NULL THEN '{SIDES[0]}' ELSE '{SIDES[1]}' END"
    rows = execute(f"SELECT {side}, {rest} GROUP BY 1", *values).fetchall()
    return {name: tuple(row) for name, *row in rows}


def _instant(value: int | None) -> datetime | None:
    return None if value is None else instant(value)


def waiting(
    now: datetime, *, most: int, besides: Sequence[int] = ()
) -> dict[tuple[int, str | None], list[int]]:
    """Return the ids of the first deliveries whose time has come, by (webhook, owner's name).

    At most ``most`` of each webhook, without those in ``besides``.
    """
    mature: Any = (
        (WebhookDelivery.state == "waiting")
        & (WebhookDelivery.next_at <= now)
        & WebhookDelivery.id.not_in(list(besides))
    )
    exists = WebhookDelivery.select(SQL("1")).where(WebhookDelivery.webhook == Webhook.id, mature)
    query = Webhook.select(Webhook.id, User.name).join(User, JOIN.LEFT_OUTER)
    query = query.where(Webhook.state == "active", fn.EXISTS(exists)).order_by(Webhook.id)
    found: dict[tuple[int, str | None], list[int]] = {}
    for webhook_id, owner in query.tuples():
        rows = (
            WebhookDelivery.select(WebhookDelivery.id)
            .where(WebhookDelivery.webhook == webhook_id, mature)
            .order_by(WebhookDelivery.next_at, WebhookDelivery.id)
            .limit(most)
        )
        found[webhook_id, owner] = [int(it) for (it,) in rows.tuples()]
    return found


def load(ids: Sequence[int], now: datetime) -> list[Due]:
    """Return deliveries by their ids; one that was removed is left out."""
    return [_due(it, now) for it in _joined(ids)] if ids else []


def claim(rows: Sequence[Due], until: datetime) -> None:
    """Note that deliveries are under way: nobody else tries them until an instant."""
    WebhookDelivery.update(attempts=WebhookDelivery.attempts + 1, next_at=until).where(
        WebhookDelivery.id.in_([it.id for it in rows]), WebhookDelivery.state == "waiting"
    ).execute()


def note_attempts(rows: Sequence[Attempted], suspend_after: timedelta) -> list[str]:
    """Note what came of attempts; returns the names of webhooks that are suspended now.

    A webhook is suspended when nothing could be delivered for so long; what waits for it
    has failed. What came of a delivery that has ended, or was removed with its webhook, is
    passed over.
    """
    now = utc_now()
    suspended = []
    with transaction():
        for it in rows:
            if not _note(it, now):
                continue
            if not it.error:
                Webhook.update(failing_since=None, error="").where(
                    Webhook.id == it.due.webhook_id
                ).execute()
                continue
            execute(
                "UPDATE webhooks SET error = ?, failing_since = COALESCE(failing_since, ?)"
                " WHERE id = ?",
                it.error,
                micros(now),
                it.due.webhook_id,
            )
            if _suspend(it.due.webhook_id, now - suspend_after, now):
                suspended.append(it.due.webhook)
                subject = f"webhook/{it.due.webhook}"
                owner = Webhook.get_by_id(it.due.webhook_id).owner_id
                details = {"webhook": it.due.webhook, "error": it.error}
                webhooks.record_event(EventKind.SUSPENDED, subject, owner, details)
    return suspended


def test(webhook: Webhook) -> int:
    """Queue a delivery that only tries a webhook; returns its id."""
    with transaction():
        event = webhooks.Event(
            EventKind.TEST, f"webhook/{webhook.name}", webhook.owner_id, {"webhook": webhook.name}
        )
        made = WebhookDelivery.create(
            webhook=webhook.id, event=webhooks.store_event(event, utc_now())
        )
    return int(made.id)


def redeliver(delivery_id: int) -> None:
    """Queue a delivery again, with all its attempts."""
    WebhookDelivery.update(
        state="waiting", attempts=0, next_at=utc_now(), finished_at=None, error=""
    ).where(WebhookDelivery.id == delivery_id).execute()


def find(delivery_id: int, *, owner: str = "") -> dict[str, Any]:
    """Return one delivery as ``listing`` does; raises NotFoundError."""
    query = _described().where(WebhookDelivery.id == delivery_id)
    if owner:
        query = query.where(Webhook.owner.in_(User.select(User.id).where(User.name == owner)))
    found: dict[str, Any] | None = query.dicts().get_or_none()
    if found is None:
        raise NotFoundError(
            f"There is no delivery {delivery_id}; 'afx webhook deliveries' shows them."
        )
    return found


def listing(
    webhook: Webhook, *, before: int | None = None, limit: int = 100, state: str | None = None
) -> Page:
    """Return the deliveries of a webhook, the newest first."""
    query = _described().where(WebhookDelivery.webhook == webhook.id)
    if state is not None:
        query = query.where(WebhookDelivery.state == state)
    return paging.fetch(query, WebhookDelivery.id, after=before, limit=limit, newest_first=True)


def prune(before: datetime, most: int) -> int:
    """Remove deliveries that ended before an instant, and events without one; returns how many."""
    gone = execute(
        "DELETE FROM webhook_deliveries WHERE id IN (SELECT id FROM webhook_deliveries"
        " WHERE finished_at < ? ORDER BY finished_at LIMIT ?)",
        micros(before),
        most,
    ).rowcount
    gone += execute(
        "DELETE FROM webhook_events WHERE id IN (SELECT id FROM webhook_events WHERE at < ?"
        " AND NOT EXISTS (SELECT 1 FROM webhook_deliveries WHERE event_id = webhook_events.id)"
        " ORDER BY id LIMIT ?)",
        micros(before),
        most,
    ).rowcount
    return int(gone)


def _note(attempted: Attempted, now: datetime) -> bool:
    """Note what came of one attempt; returns whether its delivery waited for that.

    SQLite gives the ids of removed rows to new ones, the event's key is random: without it
    an attempt for a removed webhook could end a delivery of the webhook that came after it.
    """
    fields: dict[str, Any] = {"status": attempted.status, "error": attempted.error}
    if not attempted.error:
        fields |= {"state": "delivered", "finished_at": now}
    elif attempted.retry_seconds is None:
        fields |= {"state": "failed", "finished_at": now}
    else:
        fields["next_at"] = now + timedelta(seconds=attempted.retry_seconds)
    event = WebhookEvent.select(WebhookEvent.id).where(WebhookEvent.key == attempted.due.key)
    changed = WebhookDelivery.update(**fields).where(
        WebhookDelivery.id == attempted.due.id,
        WebhookDelivery.event.in_(event),
        WebhookDelivery.state == "waiting",
    )
    return bool(changed.execute())


def _suspend(webhook_id: int, before: datetime, now: datetime) -> bool:
    changed = (
        Webhook.update(state="suspended")
        .where(Webhook.id == webhook_id, Webhook.state == "active", Webhook.failing_since <= before)
        .execute()
    )
    if not changed:
        return False
    WebhookDelivery.update(
        state="failed", finished_at=now, error="the webhook was suspended"
    ).where(WebhookDelivery.webhook == webhook_id, WebhookDelivery.state == "waiting").execute()
    return True


def _described() -> Any:
    return (
        WebhookDelivery.select(
            WebhookDelivery.id,
            Webhook.name.alias("webhook"),
            WebhookEvent.key.alias("event"),
            WebhookEvent.kind,
            WebhookEvent.subject,
            WebhookDelivery.state,
            WebhookDelivery.attempts,
            WebhookDelivery.status,
            WebhookDelivery.error,
            WebhookDelivery.next_at,
            WebhookDelivery.created_at,
            WebhookDelivery.finished_at,
        )
        .join(Webhook)
        .switch(WebhookDelivery)
        .join(WebhookEvent)
    )


def _joined(ids: Sequence[int]) -> Any:
    return (
        WebhookDelivery.select(
            WebhookDelivery.id,
            WebhookDelivery.webhook_id.alias("webhook_id"),
            Webhook.name.alias("webhook"),
            Webhook.url,
            Webhook.secret,
            Webhook.previous_secret,
            Webhook.rotated_at,
            WebhookDelivery.attempts,
            WebhookEvent.key,
            WebhookEvent.kind,
            WebhookEvent.subject,
            User.name.alias("owner"),
            WebhookEvent.details,
            WebhookEvent.at,
        )
        .join(Webhook)
        .switch(WebhookDelivery)
        .join(WebhookEvent)
        .join(User, JOIN.LEFT_OUTER)
        .where(WebhookDelivery.id.in_(list(ids)))
        .order_by(WebhookDelivery.id)
        .dicts()
    )


def _due(row: dict[str, Any], now: datetime) -> Due:
    newest, previous, at = row.pop("secret"), row.pop("previous_secret"), row.pop("rotated_at")
    signs = previous and at is not None and now - at < webhooks.OLD_SECRET_SIGNS
    return Due(secrets=(newest, previous) if signs else (newest,), **row)
