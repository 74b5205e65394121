"""Checks of webhooks: those that nothing could be delivered to for long."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from afx.errors import printable
from afx.operations.findings import Finding
from models.base import utc_now
from models.storage import webhooks

_LONG = timedelta(hours=1)
_MOST_SHOWN = 5


def check_webhooks() -> Iterator[Finding]:
    """Check the webhooks of the database that is open."""
    troubled = webhooks.in_trouble(utc_now() - _LONG)
    # A user may name any receiver: what becomes of it is shown to that user.
    found = [it for it in troubled if it["owner"] is None]
    for it in found[:_MOST_SHOWN]:
        name, error = printable(it["name"]), printable(it["error"]) or "nothing is known"
        if it["state"] == "suspended":
            yield Finding(
                "webhooks",
                "warn",
                f"'{name}' is suspended, and is told of nothing: {error}",
                f"correct its receiver, then 'afx webhook resume {name}'",
            )
        else:
            yield Finding(
                "webhooks",
                "warn",
                f"'{name}' has failed since {it['failing_since']:%Y-%m-%d %H:%M} UTC: {error}",
                f"correct its receiver, then 'afx webhook test {name}'",
            )
    if len(found) > _MOST_SHOWN:
        yield Finding(
            "webhooks",
            "warn",
            f"{len(found) - _MOST_SHOWN} more fail or are suspended",
            "see 'afx webhook list'",
        )
    if not found:
        of_users = len(troubled)
        what = f", but {of_users} of users" if of_users else ""
        yield Finding("webhooks", "ok", f"none has failed for long{what}")
