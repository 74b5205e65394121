"""Changes: made whole or not at all, and never without an entry in the audit log."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from afx.operations.context import Context
from afx.operations.leader import wake_leader
from models.base import transaction
from models.storage import audit

_MOST_BYTES = 64 * 1024
"""What an entry's details may take as JSON."""


@contextmanager
def change(context: Context, action: str, target: str) -> Iterator[dict[str, Any]]:
    """Write what the block writes, and an audit entry, in one transaction.

    The block fills in the entry's details: by convention ``before`` and ``after``
    hold the old and the new content. Whatever it raises undoes everything; so does what
    the context ``expects`` and is not so.

    The leader is told at once of the ``control`` that they name, unless this is part of a
    transaction of the caller, who tells it.
    """
    # A dry run makes no key: its entry is undone with everything else.
    key = b"" if context.dry_run else context.servers.audit_keys()[0]
    details: dict[str, Any] = {}
    with transaction(keep=not context.dry_run):
        audit.lock_head()
        if context.expects is not None:
            context.expects()
        yield details
        if context.reason:
            details["reason"] = context.reason
        audit.append(context.actor.name, action, target[:255], bounded(details), key)
    if details.get("control"):
        wake_leader(context)


def bounded(details: dict[str, Any], most: int = _MOST_BYTES) -> dict[str, Any]:
    """Return an entry's details in at most about ``most`` bytes of JSON.

    Long lists keep their first items, and say how many are left out; another value
    that is too large is replaced by its size.
    """
    if _size(details) <= most:
        return details
    room = most // len(details)
    found: dict[str, Any] = {}
    for name, value in details.items():
        if _size(value) <= room:
            found[name] = value
        elif isinstance(value, list):
            items = _first_items(value, room)
            found[name] = items
            found[f"{name}_left_out"] = len(value) - len(items)
        else:
            found[name] = {"left_out_bytes": _size(value)}
    return found


def _first_items(values: list[Any], room: int) -> list[Any]:
    used = 0
    for number, it in enumerate(values):
        used += _size(it) + 1
        if used > room:
            return values[:number]
    return values


def _size(value: Any) -> int:
    return len(json.dumps(value))
