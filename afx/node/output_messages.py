"""What outputs are told of a message: the same object for webhooks, files and feeds."""

from __future__ import annotations

import json
from datetime import datetime
from hashlib import blake2b
from typing import Any

from afx.forwarding.facts import kind_of
from afx.forwarding.pipeline import Delivery
from afx.telegram.facts import media_kind

_CHANNEL = 1_000_000_000_000
_EVENTS = {"send": "message", "edit": "edit", "delete": "delete"}


def message_id(delivery: Delivery) -> str:
    """Return the id by which a receiver knows a message that it has: the same in each attempt."""
    return f"{delivery.random_id & (2**64 - 1):016x}"


def content_of(delivery: Delivery) -> dict[str, Any] | None:
    """Return what is told of a delivery, as JSON has it; None when it is of nothing to tell."""
    event = _EVENTS.get(delivery.op)
    if event is None:
        return None
    found: dict[str, Any] = {
        "event": event,
        "id": message_id(delivery),
        "rule": delivery.rule,
        "source": delivery.source,
        "message": delivery.message,
    }
    if event == "delete":
        return found
    posted = delivery.posted
    return {
        **found,
        "date": posted.isoformat() if isinstance(posted, datetime) else None,
        **(_of_edit(delivery) if event == "edit" else {}),
        "text": delivery.text,
        "entities": [_entity(it) for it in delivery.entities],
        "media": media_kind(delivery.whole) if delivery.whole is not None else "text",
        "album": int(getattr(delivery.whole, "grouped_id", None) or 0),
        "link": link_of(delivery),
    }


def event_id(content: dict[str, Any]) -> str:
    """Return what tells an event from others: a message's id, or with it all that is told.

    An edit that says what an earlier one has said has another version, or date.
    """
    if content["event"] == "message":
        return str(content["id"])
    text = json.dumps(content, sort_keys=True).encode()
    return f"{content['id']}-{blake2b(text, digest_size=8).hexdigest()}"


def _of_edit(delivery: Delivery) -> dict[str, Any]:
    """Return what is told of an edit alone; one that has waited in an outbox has no version."""
    edited = {"edited": _edited(delivery.whole)}
    return {**edited, "version": delivery.version} if delivery.version else edited


def _edited(message: Any) -> str | None:
    """Return when the author has edited a message; reactions change that date, too."""
    date = getattr(message, "edit_date", None)
    is_hidden = getattr(message, "edit_hide", False)
    return date.isoformat() if isinstance(date, datetime) and not is_hidden else None


def link_of(delivery: Delivery) -> str:
    """Return a link to the source message, for members of its channel; "" elsewhere."""
    if delivery.source > -_CHANNEL:
        return ""
    return f"https://t.me/c/{-delivery.source - _CHANNEL}/{delivery.message}"


def _entity(entity: Any) -> dict[str, Any]:
    made = {"kind": kind_of(entity), "offset": entity.offset, "length": entity.length}
    url = getattr(entity, "url", "")
    return {**made, "url": url} if url else made
