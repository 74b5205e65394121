"""Webhooks: who is told of what; and the events that they are told of."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import peewee
from peewee import JOIN, fn

from afx.errors import ConflictError, NotFoundError, QuotaError
from models import names, paging
from models.accounts import User
from models.base import insert_many, micros, transaction, utc_now
from models.paging import Page
from models.tables import Rule, Session
from models.webhook_tables import EventKind, Webhook, WebhookDelivery, WebhookEvent

MOST_WEBHOOKS = 100
_MOST_OF_OWNER = 10
_MOST_WAITING = 10_000
_MOST_BYTES = 16 * 1024
OLD_SECRET_SIGNS = timedelta(days=1)
"""How long a secret that was replaced signs beside the new one."""


@dataclass(slots=True, frozen=True)
class Event:
    """Something that happened, as webhooks are told of it."""

    kind: EventKind
    subject: str
    """What it is about, for example ``session/main``."""
    owner: int | None = None
    """The user whose session it is about; None: it is about the cluster."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """JSON; of more than 16 KiB only the size is told. No secrets, and no content of messages."""
    unique_key: str | None = None
    """An event with this key is recorded once, whoever records it again."""


def record_event(
    kind: EventKind,
    subject: str,
    owner: int | None = None,
    details: Mapping[str, Any] | None = None,
    *,
    unique_key: str | None = None,
) -> int:
    """Record an event for the webhooks that want it; returns for how many.

    Call it in the transaction that writes what the event tells of: both or neither are in SQL.
    ``owner`` is a user's id (see ``session_events`` for events of sessions by their ids).
    Without a webhook that wants it, nothing is written.
    """
    return record_events([Event(kind, subject, owner, details or {}, unique_key)])


def record_events(events: Sequence[Event]) -> int:
    """Record several events (see ``record_event``); returns how many deliveries they cause."""
    if not events:
        return 0
    webhooks = _listening()
    wanted = [(it, found) for it in events if (found := [w for w in webhooks if w.wants(it)])]
    if not wanted:
        return 0
    with transaction():
        room = _room({it.id for _, found in wanted for it in found})
        known = _known_keys([key for it, _ in wanted if (key := _key_of(it))])
        rows: list[tuple[Any, ...]] = []
        left_out: dict[int, int] = {}
        now = utc_now()
        for event, found in wanted:
            key = _key_of(event)
            if key is not None and key in known:
                continue
            known.add(key or "")
            takers = [it.id for it in found if room[it.id] > 0]
            for it in found:
                if it.id not in takers:
                    left_out[it.id] = left_out.get(it.id, 0) + 1
            if takers:
                event_id = store_event(event, now)
                rows += [
                    (it, event_id, "waiting", 0, micros(now), "", micros(now)) for it in takers
                ]
                for taker in takers:
                    room[taker] -= 1
        columns = ("webhook_id", "event_id", "state", "attempts", "next_at", "error", "created_at")
        insert_many("webhook_deliveries", columns, rows)
        for webhook_id, count in left_out.items():
            Webhook.update(left_out=Webhook.left_out + count).where(
                Webhook.id == webhook_id
            ).execute()
    return len(rows)


def session_events(kind: EventKind, rows: Sequence[tuple[int, Mapping[str, Any]]]) -> list[Event]:
    """Return events about sessions, given as (session id, details), with their owners."""
    if not rows:
        return []
    query = Session.select(Session.id, Session.name, Session.user_id).where(
        Session.id.in_([session_id for session_id, _ in rows])
    )
    known = {session_id: (name, user) for session_id, name, user in query.tuples()}
    return [
        Event(kind, f"session/{known[it][0]}", known[it][1], {"session": known[it][0], **details})
        for it, details in rows
        if it in known
    ]


def working_rules(ids: Sequence[int]) -> set[int]:
    """Return those of some rules that have no trouble."""
    query = Rule.select(Rule.id).where(Rule.id.in_(list(ids)), Rule.trouble == "")
    return {int(it) for (it,) in query.tuples()}


def sessions_of_rules(ids: Sequence[int]) -> dict[int, int]:
    """Return the sessions of rules, by the rules' ids."""
    query = Rule.select(Rule.id, Rule.session_id).where(Rule.id.in_(list(ids)))
    return dict(query.tuples())


@dataclass(slots=True, frozen=True)
class _Listening:
    id: int
    kinds: frozenset[str]
    owner: int | None

    def wants(self, event: Event) -> bool:
        if self.owner is not None and self.owner != event.owner:
            return False
        return not self.kinds or event.kind in self.kinds


def _listening() -> list[_Listening]:
    query = Webhook.select(Webhook.id, Webhook.kinds, Webhook.owner_id)
    query = query.where(Webhook.state == "active")
    return [_Listening(it, frozenset(kinds), owner) for it, kinds, owner in query.tuples()]


def _room(ids: set[int]) -> dict[int, int]:
    """Return how many more deliveries may wait for each webhook."""
    query = (
        WebhookDelivery.select(WebhookDelivery.webhook_id, fn.COUNT(WebhookDelivery.id))
        .where(WebhookDelivery.webhook_id.in_(ids), WebhookDelivery.state == "waiting")
        .group_by(WebhookDelivery.webhook_id)
    )
    return dict.fromkeys(ids, _MOST_WAITING) | {
        webhook_id: _MOST_WAITING - count for webhook_id, count in query.tuples()
    }


def _key_of(event: Event) -> str | None:
    """Return what makes an event unique, as SQL stores it."""
    return event.unique_key and hashlib.sha256(event.unique_key.encode()).hexdigest()


def _known_keys(keys: Sequence[str]) -> set[str]:
    if not keys:
        return set()
    query = WebhookEvent.select(WebhookEvent.unique_key).where(WebhookEvent.unique_key.in_(keys))
    return {str(it) for (it,) in query.tuples()}


def store_event(event: Event, now: datetime) -> int:
    """Write an event; returns its id."""
    details = dict(event.details)
    size = len(json.dumps(details))
    if size > _MOST_BYTES:
        details = {"left_out_bytes": size}
    made = WebhookEvent.create(
        key=secrets.token_hex(16),
        unique_key=_key_of(event),
        kind=str(event.kind),
        # Names come from nodes too; Postgres takes neither a NUL nor a text that is too long.
        subject=event.subject.replace("\0", "")[:255],
        owner=event.owner,
        details=details,
        at=now,
    )
    return int(made.id)


@dataclass(slots=True, frozen=True)
class NewWebhook:
    """A webhook to be added."""

    name: str
    url: str
    kinds: Sequence[str]
    owner: User | None
    secret: str
    """Sealed."""


def add(new: NewWebhook) -> int:
    """Add a webhook; returns its id. Raises ConflictError, QuotaError."""
    names.check_name("webhook", new.name)
    try:
        with transaction():
            of_owner = Webhook.select().where(Webhook.owner == new.owner).count()
            most = MOST_WEBHOOKS if new.owner is None else _MOST_OF_OWNER
            if Webhook.select().count() >= MOST_WEBHOOKS or of_owner >= most:
                raise QuotaError(
                    f"There are at most {MOST_WEBHOOKS} webhooks, {_MOST_OF_OWNER} of one user; "
                    "remove one first."
                )
            made = Webhook.create(
                name=new.name,
                url=new.url,
                kinds=list(new.kinds),
                owner=new.owner,
                secret=new.secret,
            )
    except peewee.IntegrityError as error:
        raise ConflictError(
            f"There is a webhook '{new.name}' already; choose another name."
        ) from error
    return int(made.id)


def find(text: str, *, owner: str = "") -> Webhook:
    """Return a webhook by name or id, of a user if one is named; raises NotFoundError."""
    within: Any = True
    if owner:
        within = Webhook.owner.in_(User.select(User.id).where(User.name == owner))
    found: Webhook = names.find(Webhook, "webhook", text, within=within)
    return found


def names_beginning(prefix: str, *, owner: str = "") -> list[str]:
    """Return webhooks' names that begin with a text (see ``names.completions``)."""
    query = Webhook.select(Webhook.name)
    if owner:
        query = query.where(Webhook.owner.in_(User.select(User.id).where(User.name == owner)))
    return names.completions(query, Webhook.name, prefix)


def describe(webhook: Webhook) -> dict[str, Any]:
    """Return one webhook as ``listing`` does."""
    found: dict[str, Any] | None = (
        _described().where(Webhook.id == webhook.id).dicts().get_or_none()
    )
    if found is None:
        raise NotFoundError("The webhook was removed; 'afx webhook list' shows the others.")
    return found


def listing(*, after: str | None = None, limit: int = 100, owner: str = "") -> Page:
    """Return webhooks by name, without their secrets."""
    query = _described()
    if owner:
        query = query.where(User.name == owner)
    return paging.fetch(query, Webhook.name, after=after, limit=limit)


def in_trouble(before: datetime) -> list[dict[str, Any]]:
    """Return the webhooks that are suspended, or have failed since before an instant."""
    trouble = (Webhook.state == "suspended") | (Webhook.failing_since < before)
    return list(_described().where(trouble).order_by(Webhook.failing_since, Webhook.id).dicts())


def remove(webhook: Webhook) -> None:
    """Remove a webhook with its deliveries."""
    Webhook.delete().where(Webhook.id == webhook.id).execute()


def rotate(webhook: Webhook, secret: str) -> None:
    """Set a new secret; the old one signs beside it for a day."""
    Webhook.update(secret=secret, previous_secret=webhook.secret, rotated_at=utc_now()).where(
        Webhook.id == webhook.id
    ).execute()


def resume(webhook: Webhook) -> None:
    """Let a suspended webhook be told of events again."""
    Webhook.update(state="active", failing_since=None, error="").where(
        Webhook.id == webhook.id
    ).execute()


def _described() -> Any:
    return Webhook.select(
        Webhook.id,
        Webhook.name,
        Webhook.url,
        Webhook.kinds,
        User.name.alias("owner"),
        Webhook.state,
        Webhook.failing_since,
        Webhook.error,
        Webhook.left_out,
        Webhook.rotated_at,
        Webhook.created_at,
    ).join(User, JOIN.LEFT_OUTER)
