"""Doubts: what a sender of a rule may have sent, and nothing tells; an operator decides it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import redis

from afx.cluster import pool_doubts
from afx.cluster.pool_doubts import NOT_SENT, Doubt, sent_verdict
from afx.errors import NotFoundError, UnreachableError, UsageError
from afx.operations.changes import change
from afx.operations.context import Context, operation
from afx.operations.of_rule import OfRule
from models.storage import rules, senders
from models.tables import Rule

_LARGEST_ID = 2**31 - 1


@dataclass(slots=True, frozen=True)
class DoubtRow(OfRule):
    """A message that a sender may have sent, without an answer; its lane waits for it."""

    rule_id: int
    session: str
    name: str
    sender: str
    """Who may have sent it; ``session 12`` for one that does not exist any more."""
    source: int
    """0 where that is not known, as with ``message``."""
    message: int
    destination: int
    since: datetime | None
    """When it was asked for first."""
    decision: str
    """What an operator has decided, and its node has not done yet: ``not sent``, ``sent as 5``."""


@operation("rule:read", owned=True)
def listing(context: Context, rule: str) -> list[DoubtRow]:
    """Return the doubts of a rule, the oldest of each destination first."""
    stored = rules.find(rule, owner=context.actor.owner)
    found = list(_doubts(context, stored))
    return [_row(stored, to, it, names) for to, it, names in _named(found)]


@operation("rule:read", owned=True)
def listing_if_running(context: Context, rule: str) -> list[DoubtRow]:
    """Return what ``listing`` does; nothing while Redis does not answer."""
    try:
        if context.servers.redis_if_running() is None:
            return []
        return listing(context, rule)
    except (redis.RedisError, UnreachableError):
        return []


@operation("rule:write", owned=True)
def decide(
    context: Context,
    rule: str,
    *,
    sent: int = 0,
    message: int | None = None,
    source: int | None = None,
    destination: int | None = None,
) -> list[DoubtRow]:
    """Decide doubts of a rule: those of a message, source or destination, or all.

    A message, and a source, of 0 are those that are not known.

    ``sent`` is the id of the copy in the destination: it is linked, and not sent again. 0: they
    were not sent, and another sender sends them. The rule's node does so once the sender in
    doubt runs nowhere, or answers. Raises NotFoundError where the rule has none such, UsageError
    for a copy of several.
    """
    if not 0 <= sent <= _LARGEST_ID:
        raise UsageError("The id of a copy is a number above 0; correct it.")
    stored = rules.find(rule, owner=context.actor.owner)
    path = f"{stored.session.name}/{stored.name}"
    chosen = [
        (to, it)
        for to, it in _doubts(context, stored)
        if message in (None, it.message)
        and source in (None, it.source)
        and destination in (None, to)
    ]
    if not chosen:
        raise NotFoundError(f"Rule {path} has no such doubts; 'afx rule doubt list' shows them.")
    if sent and len(chosen) > 1:
        raise UsageError(
            f"One copy is of one message, and {len(chosen)} of rule {path} are meant; nothing was "
            "changed. Name one by its message, its source and its destination."
        )
    verdict = sent_verdict(sent) if sent else NOT_SENT
    with change(context, "rule.doubt.decide", f"rule/{path}") as details:
        rows = [_row(stored, to, it, names) for to, it, names in _named(chosen)]
        details.update({"sent": sent, "doubts": [content(it) for it in rows]})
        if context.dry_run:
            return rows
        client = context.servers.redis()
        left = [it for it in chosen if not pool_doubts.decide(client, stored.id, *it, verdict)]
        if len(left) == len(chosen):
            raise NotFoundError(f"What was in doubt of rule {path} is known by now.")
    return rows


def _doubts(context: Context, rule: Rule) -> Iterator[tuple[int, Doubt]]:
    client = context.servers.redis()
    for to in pool_doubts.lanes_of(client, rule.id):
        for it in pool_doubts.doubts_of(client, rule.id, to):
            yield to, it


def _named(found: list[tuple[int, Doubt]]) -> Iterator[tuple[int, Doubt, str]]:
    names = senders.names_of(sorted({it.sender for _, it in found}))
    for to, it in found:
        yield to, it, names.get(it.sender, f"session {it.sender}")


def _row(rule: Rule, to: int, it: Doubt, sender: str) -> DoubtRow:
    since = datetime.fromtimestamp(it.since, UTC) if it.since else None
    decision = f"sent as {it.copy}" if it.copy else "not sent" if it.verdict else ""
    name = rule.session.name, rule.name
    return DoubtRow(rule.id, *name, sender, it.source, it.message, to, since, decision)


def content(it: DoubtRow) -> dict[str, object]:
    """Return a doubt as the audit log keeps it."""
    return {"sender": it.sender, "from": it.source, "message": it.message, "to": it.destination}
