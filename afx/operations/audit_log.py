"""The audit log: who changed what, and whether the log is complete."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import redis

from afx.cluster import keys
from afx.errors import AfxError, UsageError
from afx.operations.context import Context, operation
from afx.operations.pages import Page, page_of
from models.storage import audit

_DIGEST_LENGTH = 64


@dataclass(slots=True, frozen=True)
class AuditRow:
    """One entry of the log."""

    id: int
    at: datetime
    actor: str
    action: str
    target: str
    details: Mapping[str, Any]


@dataclass(slots=True, frozen=True)
class AuditVerdict:
    """What a check of the whole log found."""

    entries: int
    digest: str
    """Of the last entry; stored elsewhere, it proves that none was cut off."""
    faults: tuple[str, ...]
    noted_by: str
    """With which earlier head the log was compared."""
    key_differs: bool
    """Whether no entry at all fits the key: most likely it is another cluster's."""


@operation("audit:read")
def listing(
    context: Context,
    *,
    after: int | None = None,
    limit: int = 100,
    actor: str | None = None,
    action: str | None = None,
    target: str | None = None,
) -> Page[AuditRow]:
    """Return entries, the newest first; ``action`` may be a beginning (``user.``)."""
    del context
    found = audit.listing(before=after, limit=limit, actor=actor, action=action, target=target)
    return page_of(AuditRow, found)


@operation("audit:read")
def verify(context: Context, *, head: str = "") -> AuditVerdict:
    """Check that no entry was changed, removed, moved or cut off.

    ``head`` is ENTRIES:DIGEST of an earlier check; without one, the head that the
    coordinator noted in Redis is used.
    """
    seen, source = _noted_head(context, head)
    verdict = audit.verify(context.servers.audit_keys(create=False), seen=seen)
    return AuditVerdict(
        verdict.entries, verdict.digest, verdict.faults, source, verdict.key_differs
    )


def _noted_head(context: Context, head: str) -> tuple[tuple[int, str] | None, str]:
    if head:
        seen = _parsed_head(head)
        if seen is None:
            raise UsageError("--head is ENTRIES:DIGEST, as an earlier check printed it.")
        return seen, "--head"
    try:
        text = str(context.servers.redis().get(keys.AUDIT_HEAD) or "")
    except (AfxError, redis.RedisError):
        return None, "nothing: Redis does not answer"
    seen = _parsed_head(text)
    if seen is None:
        return None, "nothing: no head was noted yet"
    return seen, "the head that the coordinator noted"


def _parsed_head(text: str) -> tuple[int, str] | None:
    entries, _, digest = text.partition(":")
    if not entries.isascii() or not entries.isdecimal() or len(digest) != _DIGEST_LENGTH:
        return None
    return int(entries), digest
