"""The noted head of the audit log: outside SQL, where an edit of the database does not reach.

It is ``ENTRIES:DIGEST:SEAL``; the seal is made with the key of the audit log, so that
nobody without it can note another head.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import redis

from afx.cluster import keys
from afx.cluster.writes import write

BEGINNING = (0, "")
_DIGEST_LENGTH = 64
_ENTRIES_LIMIT = 18
"""Digits."""


class HeadState(Enum):
    """What Redis has as the noted head."""

    NOTED = "noted"
    MISSING = "missing"
    FORGED = "forged"
    """It is malformed, or sealed with no key of this cluster."""


@dataclass(slots=True, frozen=True)
class NotedHead:
    """The noted head, if it can be believed."""

    state: HeadState
    entries: int = 0
    digest: str = ""


def read_head(client: redis.Redis, audit_keys: Sequence[bytes]) -> NotedHead:
    """Return the noted head."""
    text = str(client.get(keys.AUDIT_HEAD) or "")
    if not text:
        return NotedHead(HeadState.MISSING)
    head, _, seal = text.rpartition(":")
    parsed = parse_head(head)
    own = seal.encode(errors="replace")
    if parsed is None or not any(hmac.compare_digest(own, _seal(head, it)) for it in audit_keys):
        return NotedHead(HeadState.FORGED)
    return NotedHead(HeadState.NOTED, *parsed)


def sealed_head(entries: int, digest: str, audit_key: bytes) -> str:
    """Return a head as Redis stores it."""
    head = f"{entries}:{digest}"
    return f"{head}:{_seal(head, audit_key).decode()}"


def parse_head(text: str) -> tuple[int, str] | None:
    """Return (entries, digest) of ``ENTRIES:DIGEST``, or None."""
    entries, _, digest = text.partition(":")
    if not entries.isascii() or not entries.isdecimal() or len(entries) > _ENTRIES_LIMIT:
        return None
    length = _DIGEST_LENGTH if int(entries) else 0  # an empty log has no digest
    return (int(entries), digest) if len(digest) == length else None


def write_head(
    client: redis.Redis, entries: int, digest: str, *, audit_key: bytes, term: int, fault: str
) -> None:
    """Note a head, and what is wrong with the log, in the leader's term."""
    head = sealed_head(entries, digest, audit_key)
    write(client, {keys.AUDIT_HEAD: head, keys.AUDIT_FAULT: fault}, term)


def read_fault(client: redis.Redis) -> str:
    """Return what the leader found wrong with the audit log; empty: nothing."""
    text = str(client.get(keys.AUDIT_FAULT) or "")[:500]
    return "".join(it if it.isprintable() else "?" for it in text)


def _seal(head: str, audit_key: bytes) -> bytes:
    text = b"afx audit head\0" + head.encode(errors="replace")
    return hmac.new(audit_key, text, hashlib.sha256).hexdigest().encode()
