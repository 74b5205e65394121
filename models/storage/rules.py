"""Rules: which chats a session forwards, and where to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from models.base import execute_many, micros, transaction, utc_now
from models.tables import Rule, Session


def create(session: Session, sources: list[str], destinations: list[str], mode: str) -> Rule:
    """Add a rule to a session, which is started anew if it runs."""
    with transaction():
        _revise([session.id])
        rule: Rule = Rule.create(
            session=session, sources=sources, destinations=destinations, mode=mode
        )
        return rule


def create_many(rows: Sequence[tuple[int, list[str], list[str], str]]) -> None:
    """Add rules, given as (session id, sources, destinations, mode)."""
    now = micros(utc_now())
    encode = Rule.sources.db_value
    with transaction():
        _revise([session for session, *_ in rows])
        execute_many(
            "INSERT INTO rules (session_id, sources, destinations, mode, enabled, created_at)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            [
                (session, encode(sources), encode(destinations), mode, True, now)
                for session, sources, destinations, mode in rows
            ],
        )


def for_sessions(ids: Sequence[int]) -> dict[int, list[Rule]]:
    """Return the enabled rules of sessions, by session id."""
    found: dict[int, list[Rule]] = defaultdict(list)
    for start in range(0, len(ids), 500):
        part = list(ids[start : start + 500])
        for rule in Rule.select().where(Rule.session.in_(part) & Rule.enabled).order_by(Rule.id):
            found[rule.session_id].append(rule)
    return found


def listing() -> list[dict[str, Any]]:
    """Return every rule with its session's name."""
    query = (
        Rule.select(
            Rule.id, Session.name.alias("session"), Rule.sources, Rule.destinations, Rule.mode,
            Rule.enabled,
        )
        .join(Session)
        .order_by(Rule.id)
        .dicts()
    )  # fmt: skip
    return list(query)


def _revise(ids: Iterable[int]) -> None:
    """Note that sessions' rules have changed."""
    execute_many(
        "UPDATE sessions SET revision = revision + 1 WHERE id = ?",
        [(it,) for it in sorted(set(ids))],
    )
