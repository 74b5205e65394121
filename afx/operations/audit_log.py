"""The audit log: who changed what, and whether the log is complete."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import redis

from afx.cluster import audit_heads
from afx.cluster.audit_heads import HeadState, NotedHead
from afx.cluster.keys import AUDIT_HEAD
from afx.errors import AfxError, UsageError
from afx.operations.changes import change
from afx.operations.context import Context, operation
from afx.operations.pages import Page, page_of
from models.storage import audit

_ENTRIES_PER_STEP = 1_000


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
    sort: str = "-id",
) -> Page[AuditRow]:
    """Return entries, the newest first; ``action`` may be a beginning (``user.``)."""
    del context
    found = audit.listing(
        before=after, limit=limit, actor=actor, action=action, target=target, sort=sort
    )
    return page_of(AuditRow, found)


@operation("audit:read")
def verify(context: Context, *, head: str = "") -> AuditVerdict:
    """Check that no entry was changed, removed, moved or cut off.

    ``head`` is ENTRIES:DIGEST of an earlier check; without one, the head that the
    coordinator noted in Redis is used.
    """
    keys = context.servers.audit_keys(create=False)
    noted = _noted_head(context, head, keys)
    verdict = audit.verify(keys, seen=noted.head)
    return AuditVerdict(
        verdict.entries,
        verdict.digest,
        (*noted.faults, *verdict.faults),
        noted.source,
        verdict.key_differs,
    )


@operation("audit:write")
def accept(context: Context) -> str:
    """Accept the log as it is, after it did not go on from the noted head; returns the new head.

    An entry records the old head and the reason. Raises UsageError without a reason, and
    when the log goes on from the noted head.
    """
    if not context.reason:
        raise UsageError("Accepting a damaged audit log needs --reason TEXT; it is recorded.")
    keys = context.servers.audit_keys(create=False)
    client = context.servers.redis()
    noted = audit_heads.read_head(client, keys)
    if noted.state is not HeadState.FORGED and not _fault_after(keys, noted):
        raise UsageError("The audit log goes on from the noted head; there is nothing to accept.")
    with change(context, "audit.accept", "audit") as details:
        details["before"] = {
            "state": noted.state.value,
            "head": f"{noted.entries}:{noted.digest}",
        }
    entries, digest = audit.head()
    if not context.dry_run:
        client.set(AUDIT_HEAD, audit_heads.sealed_head(entries, digest, keys[0]))
    return f"{entries}:{digest}"


@dataclass(slots=True, frozen=True)
class _Noted:
    """An earlier head, where it is from, and what is wrong with it."""

    source: str
    head: tuple[int, str] | None = None
    faults: tuple[str, ...] = ()


def _noted_head(context: Context, head: str, keys: Sequence[bytes]) -> _Noted:
    if head:
        given = audit_heads.parse_head(head)
        if given is None:
            raise UsageError("--head is ENTRIES:DIGEST, as an earlier check printed it.")
        return _Noted("--head", given)
    try:
        noted = audit_heads.read_head(context.servers.redis(), keys)
    except (AfxError, redis.RedisError):
        return _Noted("nothing: Redis does not answer")
    if noted.state is HeadState.MISSING:
        return _Noted("nothing: no head was noted yet")
    if noted.state is HeadState.FORGED:
        fault = "the noted head in Redis was changed, or sealed with another key"
        return _Noted("nothing: the noted head is forged", faults=(fault,))
    return _Noted("the head that the coordinator noted", (noted.entries, noted.digest))


def _fault_after(keys: Sequence[bytes], noted: NotedHead) -> str:
    """Return the first fault of the log after a head; empty if there is none."""
    head = noted.entries, noted.digest
    while True:
        followed = audit.follow(keys, head, limit=_ENTRIES_PER_STEP)
        if followed.fault or followed.complete:
            return followed.fault
        head = followed.entries, followed.digest
