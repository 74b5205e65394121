"""Webhooks: URLs that are told of events, and what came of it."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from afx.errors import ConflictError, UsageError
from afx.operations.changes import change
from afx.operations.context import Context, operation
from afx.operations.pages import Page, page_of
from afx.security.login_servers import parse_networks
from afx.security.webhook_signature import new_secret
from afx.security.webhook_targets import check_url, is_allowed
from models.base import utc_now
from models.storage import users, webhook_deliveries, webhooks
from models.storage.webhook_deliveries import Figures
from models.storage.webhooks import NewWebhook
from models.webhook_tables import DELIVERY_STATES as STATES
from models.webhook_tables import EventKind, Webhook

__all__ = ["KINDS", "STATES", "Figures"]

_LATELY = timedelta(hours=1)

KINDS = tuple(str(it) for it in EventKind if it is not EventKind.TEST)
"""The kinds of events that a webhook may be told of."""


@dataclass(slots=True, frozen=True)
class WebhookRow:
    """One webhook of a list."""

    id: int
    name: str
    url: str
    kinds: Sequence[str]
    """Of which events it is told; none: of all."""
    owner: str | None
    """The user of whose sessions alone it is told; None: of everything."""
    state: str
    """active or suspended."""
    failing_since: datetime | None
    error: str
    """The last failure; empty after a success."""
    left_out: int
    """Events that it was not told of, because too many waited for it."""
    rotated_at: datetime | None
    created_at: datetime


@dataclass(slots=True, frozen=True)
class IssuedSecret:
    """The secret of a webhook, as it is shown once."""

    id: int
    name: str
    secret: str


@dataclass(slots=True, frozen=True)
class DeliveryRow:
    """One event on its way to one webhook."""

    id: int
    webhook: str
    event: str
    """The id by which a receiver knows the event."""
    kind: str
    subject: str
    state: str
    """waiting, delivered or failed."""
    attempts: int
    status: int | None
    """Of the last answer."""
    error: str
    next_at: datetime
    """When it is tried next, if it waits."""
    created_at: datetime
    finished_at: datetime | None


@operation("webhook:read", owned=True)
def listing(context: Context, *, after: str | None = None, limit: int = 100) -> Page[WebhookRow]:
    """Return webhooks by name."""
    owner = context.actor.owner
    return page_of(WebhookRow, webhooks.listing(after=after, limit=limit, owner=owner))


@operation("webhook:read", owned=True)
def show(context: Context, name: str) -> WebhookRow:
    """Return one webhook; raises NotFoundError when there is none."""
    return WebhookRow(**webhooks.describe(_find(context, name)))


@operation("webhook:read")
def figures(context: Context) -> Mapping[str, Figures]:
    """Return how webhooks and deliveries fare, those of the ``operator`` and those of ``users``.

    Failures are those of the last hour.
    """
    del context
    return webhook_deliveries.figures(utc_now() - _LATELY)


@operation("webhook:read", owned=True)
def names_beginning(context: Context, prefix: str) -> list[str]:
    """Return a few webhooks' names that begin with a text."""
    return webhooks.names_beginning(prefix, owner=context.actor.owner)


@operation("webhook:write", owned=True)
def add(
    context: Context, name: str, url: str, *, kinds: Sequence[str] = (), owner: str = ""
) -> IssuedSecret:
    """Let a URL be told of events; returns the secret, the only time that it is seen.

    ``kinds`` are of ``KINDS``; none: all. ``owner``: a user, of whose sessions alone it is
    told; an actor who is limited to an owner adds only such. Raises UsageError for a URL
    that no webhook may have, and for what is no kind.
    """
    _check_url(context, url)
    chosen = tuple(dict.fromkeys(kinds))
    if unknown := [it for it in chosen if it not in KINDS]:
        raise UsageError(
            f"There is no kind of event {unknown[0][:50]!r}; the kinds are {', '.join(KINDS)}."
        )
    if owner:
        context.require_owner(owner)
    owner = owner or context.actor.owner
    user = users.find(owner, owner=context.actor.owner) if owner else None
    secret = new_secret()
    vault = context.servers.vault()
    with change(context, "webhook.add", f"webhook/{name}") as details:
        sealed = vault.seal_webhook_secret(secret)
        webhook_id = webhooks.add(NewWebhook(name, url, chosen, user, sealed))
        after = {"url": url, "kinds": list(chosen), "owner": user.name if user else None}
        details["after"] = after
    return IssuedSecret(webhook_id, name, secret)


@operation("webhook:write", owned=True)
def rotate(context: Context, name: str) -> IssuedSecret:
    """Make a new secret for a webhook; the old one signs beside it for a day."""
    webhook = _find(context, name)
    secret = new_secret()
    vault = context.servers.vault()
    with change(context, "webhook.rotate", f"webhook/{webhook.name}"):
        webhooks.rotate(webhook, vault.seal_webhook_secret(secret))
    return IssuedSecret(webhook.id, webhook.name, secret)


@operation("webhook:write", owned=True)
def resume(context: Context, name: str) -> str:
    """Let a suspended webhook be told of events again; returns its full name."""
    webhook = _find(context, name)
    with change(context, "webhook.resume", f"webhook/{webhook.name}") as details:
        details["before"] = {"state": webhook.state}
        webhooks.resume(webhook)
    return str(webhook.name)


@operation("webhook:write", owned=True)
def remove(context: Context, name: str) -> str:
    """Remove a webhook with its deliveries; returns its full name."""
    webhook = _find(context, name)
    with change(context, "webhook.remove", f"webhook/{webhook.name}") as details:
        details["before"] = {"url": webhook.url, "kinds": webhook.kinds}
        webhooks.remove(webhook)
    return str(webhook.name)


@operation("webhook:write", owned=True)
def test(context: Context, name: str) -> int:
    """Send an event that only tries a webhook; returns the id of its delivery."""
    webhook = _find(context, name)
    _check_active(webhook)
    with change(context, "webhook.test", f"webhook/{webhook.name}") as details:
        details["delivery"] = made = webhook_deliveries.test(webhook)
    return made


@operation("webhook:read", owned=True)
def deliveries(
    context: Context,
    name: str,
    *,
    after: int | None = None,
    limit: int = 100,
    state: str | None = None,
) -> Page[DeliveryRow]:
    """Return the deliveries of a webhook, the newest first; ``state`` is one of ``STATES``."""
    webhook = _find(context, name)
    rows = webhook_deliveries.listing(webhook, before=after, limit=limit, state=state)
    return page_of(DeliveryRow, rows)


@operation("webhook:read", owned=True)
def show_delivery(context: Context, delivery_id: int) -> DeliveryRow:
    """Return one delivery; raises NotFoundError when there is none."""
    return DeliveryRow(**webhook_deliveries.find(delivery_id, owner=context.actor.owner))


@operation("webhook:write", owned=True)
def redeliver(context: Context, delivery_id: int) -> DeliveryRow:
    """Send a delivery again, with all its attempts; the receiver knows it by its id."""
    row = DeliveryRow(**webhook_deliveries.find(delivery_id, owner=context.actor.owner))
    _check_active(_find(context, row.webhook))
    with change(context, "webhook.redeliver", f"webhook/{row.webhook}") as details:
        details.update({"delivery": row.id, "before": {"state": row.state}})
        webhook_deliveries.redeliver(row.id)
    return row


def _find(context: Context, name: str) -> Webhook:
    return webhooks.find(name, owner=context.actor.owner)


def _check_active(webhook: Webhook) -> None:
    if webhook.state != "active":
        raise ConflictError(
            f"The webhook '{webhook.name}' is suspended; 'afx webhook resume' lets it go on."
        )


def _check_url(context: Context, url: str) -> None:
    """Check a URL as far as that goes without asking what its name means."""
    try:
        _, host, _, _ = check_url(url)
    except ValueError as error:
        raise UsageError(f"The URL cannot be a webhook's: {error}; correct it.") from error
    networks = parse_networks(context.settings.webhook_networks)
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return
    if not is_allowed(host, networks):
        raise UsageError(
            "The URL leads to an address that is not public; give another one, or allow its "
            "network with webhook_networks."
        )
