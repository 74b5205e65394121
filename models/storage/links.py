"""Copies of the links' blocks; Redis has the newest ones unless it lost its data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from models.base import execute, execute_many, micros, utc_now


@dataclass(slots=True, frozen=True)
class Block:
    """One block of links of a route."""

    rule: int
    source: int
    destination: int
    number: int
    """Its number among the blocks of the route."""
    links: str
    """The block as it is in Redis, as base64."""


def save_many(blocks: Iterable[Block]) -> None:
    """Store blocks; call it in a transaction. Those of removed rules are left out."""
    now = micros(utc_now())
    execute_many(
        "INSERT INTO rule_links (rule_id, source, destination, block, links, saved_at)"
        " SELECT id, CAST(? AS BIGINT), CAST(? AS BIGINT), CAST(? AS BIGINT), CAST(? AS TEXT),"
        " CAST(? AS BIGINT) FROM rules WHERE id = ?"
        " ON CONFLICT (rule_id, source, destination, block) DO UPDATE SET"
        " links = EXCLUDED.links, saved_at = EXCLUDED.saved_at",
        [(it.source, it.destination, it.number, it.links, now, it.rule) for it in blocks],
    )


def page(beyond: int, limit: int) -> list[tuple[int, int, Block]]:
    """Return (id, session, block) of stored blocks, by id, those after the id ``beyond``."""
    rows = execute(
        "SELECT l.id, r.session_id, l.rule_id, l.source, l.destination, l.block, l.links"
        " FROM rule_links l JOIN rules r ON r.id = l.rule_id"
        " WHERE l.id > ? ORDER BY l.id LIMIT ?",
        beyond,
        limit,
    ).fetchall()
    return [(row_id, session, Block(*block)) for row_id, session, *block in rows]


def existing_rules(ids: Sequence[int]) -> set[int]:
    """Return which of some rules exist."""
    if not ids:
        return set()
    marks = ", ".join("?" * len(ids))
    return {it for (it,) in execute(f"SELECT id FROM rules WHERE id IN ({marks})", *ids).fetchall()}


def prune(before: datetime, most: int) -> int:
    """Delete blocks that have not changed since a time, so many at most; returns how many."""
    deleted: int = execute(
        "DELETE FROM rule_links WHERE id IN"
        " (SELECT id FROM rule_links WHERE saved_at < ? ORDER BY saved_at LIMIT ?)",
        micros(before),
        most,
    ).rowcount
    return deleted
