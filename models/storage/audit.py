"""The audit log: who changed what; each entry seals the one before it.

An entry's digest is HMAC-SHA256, by a key of the cluster, over all its fields
and the digest of the entry before; so an entry that was changed, removed or
moved shows, and none can be forged without the key.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from models import names, sorting
from models.audit_tables import AuditEntry, AuditHead
from models.base import execute, is_postgres, micros, transaction, utc_now
from models.paging import Page
from models.sorting import Column

_ORDERS = {"id": Column(AuditEntry.id)}
_MOST_FAULTS = 100
_PAGE = 1_000
_NO_ENTRY_FITS = "no entry fits the secret key: it is another cluster's, or all were changed"


@dataclass(slots=True, frozen=True)
class Verdict:
    """What a check of the whole log found."""

    entries: int
    digest: str
    """Of the last entry; kept elsewhere, it proves that none was cut off."""
    faults: tuple[str, ...]
    key_differs: bool = False
    """Whether no entry at all fits the keys: most likely they are another cluster's."""


@dataclass(slots=True, frozen=True)
class Followed:
    """How far the log goes on from an earlier head."""

    entries: int
    digest: str
    """Of the last entry that was checked; with a fault, of the earlier head."""
    fault: str = ""
    complete: bool = True
    """Whether the end of the log was reached."""


def lock_head() -> None:
    """Wait for the end of the log, and keep it until the transaction ends.

    ``append`` takes it anyway. What locks rows before that takes it first: of two
    transactions that lock the same rows in another order, one waits here, and neither for
    ever. (SQLite has one writer at a time.)
    """
    if is_postgres():
        execute("SELECT 1 FROM audit_head WHERE id = 1 FOR UPDATE")


def append(actor: str, action: str, target: str, details: dict[str, Any], key: bytes) -> int:
    """Write an entry, in the transaction of what it tells; returns its number."""
    # Each change comes through here, so the statements are written out: building them would
    # take longer than running them.
    actor, target, at = actor[:100], target[:255], micros(utc_now())
    with transaction():
        # Writers queue here, up to their commits: the chain has one end.
        [(number, previous)] = execute(
            "UPDATE audit_head SET entries = entries + 1 WHERE id = 1 RETURNING entries, digest"
        ).fetchall()
        digest = _digest((number, at, actor, action, target, details, previous), key)
        stored = AuditEntry.details.db_value(details)
        execute(
            "INSERT INTO audit_log (id, at, actor, action, target, details, previous, digest)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            *(number, at, actor, action, target, stored, previous, digest),
        )
        execute("UPDATE audit_head SET digest = ? WHERE id = 1", digest)
        return int(number)


def head() -> tuple[int, str]:
    """Return the number of entries and the last one's digest."""
    row = AuditHead.get_by_id(1)
    return int(row.entries), str(row.digest)


def listing(
    *,
    before: int | None = None,
    limit: int = 100,
    actor: str | None = None,
    action: str | None = None,
    target: str | None = None,
    sort: str = "-id",
) -> Page:
    """Return entries, the newest first; ``action`` may be a beginning (``user.``)."""
    table = AuditEntry
    query = table.select(table.id, table.at, table.actor, table.action, table.target, table.details)
    if actor is not None:
        query = query.where(table.actor == actor)
    if action is not None:
        query = query.where(names.beginning(table.action, action))
    if target is not None:
        query = query.where(table.target == target)
    return sorting.fetch(query, _ORDERS, sort, after=before, limit=limit)


def verify(keys: Sequence[bytes], *, seen: tuple[int, str] | None = None) -> Verdict:
    """Check every entry, in constant memory, with any of the cluster's keys.

    ``seen`` is a (number, digest) that was noted elsewhere before: that entry
    must still exist. When no entry fits the keys, the key is another one, and that
    is the only fault; of other faults the first 100 are listed.
    """
    faults: list[str] = []
    number, last, sealed = 0, "", 0
    for entry in _entries():
        number += 1
        if entry.id != number:
            faults.append(f"entries {number} to {entry.id - 1} are missing")
            number, last = entry.id, entry.previous
        if not entry.is_sealed(keys):
            faults.append(_changed(number))
        else:
            sealed += 1
            if entry.previous != last:
                faults.append(_unlinked(number))
        last = entry.digest
        if seen and seen[0] == number and seen[1] != last:
            faults.append(_not_noted(number))
        if len(faults) >= _MOST_FAULTS and sealed:
            break
        del faults[_MOST_FAULTS:]
    entries, digest = head()
    if number and not sealed:
        return Verdict(number, last, (_NO_ENTRY_FITS,), key_differs=True)
    if not faults and (entries, digest) != (number, last):
        faults.append(f"the log ends at entry {number}, but {entries} were written")
    if not faults and seen and seen[0] > number:
        faults.append(f"the log ends at entry {number}, but {seen[0]} were noted")
    return Verdict(number, last, tuple(faults))


def follow(keys: Sequence[bytes], noted: tuple[int, str], *, limit: int) -> Followed:
    """Check that the log goes on from an earlier (number, digest), for some entries.

    (0, "") is the beginning of the log.
    """
    number, last = noted
    written, _ = head()
    if number:
        # The noted entry is read again: it must still exist.
        entries = _page(number - 1, limit + 1)
        if not entries or entries[0].id != number:
            return Followed(*noted, f"entry {number}, which was noted, is missing")
        if entries[0].digest != last:
            return Followed(*noted, _not_noted(number))
        entries = entries[1:]
    else:
        entries = _page(0, limit)
    for it in entries:
        if it.id != number + 1:
            return Followed(*noted, f"entries {number + 1} to {it.id - 1} are missing")
        if not it.is_sealed(keys):
            return Followed(*noted, _changed(it.id))
        if it.previous != last:
            return Followed(*noted, _unlinked(it.id))
        number, last = it.id, it.digest
    complete = len(entries) < limit
    if complete and number < written:
        return Followed(*noted, f"the log ends at entry {number}, but {written} were written")
    return Followed(number, last, complete=complete)


@dataclass(slots=True, frozen=True)
class _StoredEntry:
    """An entry as the table has it: somebody may have edited it to anything."""

    id: int
    at: Any
    actor: Any
    action: Any
    target: Any
    details: Any
    """As text."""
    previous: str
    digest: str

    def is_sealed(self, keys: Sequence[bytes]) -> bool:
        """Return whether the digest is that of the content, with any of the keys."""
        try:
            details = json.loads(self.details)
        except (ValueError, TypeError, RecursionError):
            return False
        content = (self.id, self.at, self.actor, self.action, self.target, details, self.previous)
        own = str(self.digest).encode()
        return any(hmac.compare_digest(own, _digest(content, it).encode()) for it in keys)


def _page(after: int, limit: int) -> list[_StoredEntry]:
    rows = execute(
        "SELECT id, at, actor, action, target, details, previous, digest FROM audit_log"
        " WHERE id > ? ORDER BY id LIMIT ?",
        after,
        limit,
    )
    return [_StoredEntry(*row) for row in rows.fetchall()]


def _entries() -> Iterator[_StoredEntry]:
    after = 0
    while entries := _page(after, _PAGE):
        yield from entries
        after = entries[-1].id


def _changed(number: int) -> str:
    return f"entry {number} was changed, or sealed with another key"


def _unlinked(number: int) -> str:
    return f"entry {number} does not follow the one before it"


def _not_noted(number: int) -> str:
    return f"entry {number} is not the one that was noted"


def _digest(content: Sequence[Any], key: bytes) -> str:
    """Return the digest of id, time, actor, action, target, details and previous digest."""
    text = json.dumps(list(content), sort_keys=True, separators=(",", ":"))
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
