"""Changes: made whole or not at all, and never without a line in the audit log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from models.base import transaction
from models.storage import audit


@dataclass(slots=True, frozen=True)
class Operator:
    """Who makes a change."""

    actor: str
    audit_key: bytes
    dry_run: bool = False
    """Do all of it, and then nothing of it: mistakes show, nothing changes."""


@contextmanager
def change(operator: Operator, action: str, target: str) -> Iterator[dict[str, Any]]:
    """Write what the block writes, and an audit entry, in one transaction.

    The block fills the entry's details in. Whatever it raises undoes it all.
    """
    details: dict[str, Any] = {}
    with transaction(keep=not operator.dry_run):
        yield details
        audit.append(operator.actor, action, target, details, operator.audit_key)
