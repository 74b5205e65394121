"""Dead letters: what could not be delivered, to be looked at, retried or dropped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from afx.errors import NotFoundError, UsageError
from afx.operations.changes import change
from afx.operations.context import Context, operation
from afx.operations.of_rule import OfRule
from afx.operations.pages import Page, every, page_of
from afx.operations.task_requests import TaskRequest, submit
from afx.reasons import DeadReason
from models.base import micros
from models.storage import dead_letters, rules

__all__ = ["DeadReason"]

_ROUTES_BYTES = 24_000
"""Of the arguments of one task."""

_TELLING = frozenset(
    {
        DeadReason.NOT_JUDGED,
        DeadReason.EDIT_REFUSED,
        DeadReason.DELETE_REFUSED,
        DeadReason.PIN_REFUSED,
        DeadReason.TOPIC_REFUSED,
    }
)
"""Reasons that tell what a retry does: ask the filter, or change the copy that exists."""


@dataclass(slots=True, frozen=True)
class DeadRow(OfRule):
    """Messages of one route that could not be delivered, up to 256 with neighbouring ids."""

    id: int
    rule_id: int
    session: str
    name: str
    source: int
    destination: int
    reason: str
    error: str
    """What Telegram says, or what was found."""
    messages: str
    """Their ids in the source, as ``1-3,9``."""
    count: int
    attempts: int
    """The most that one of them was tried."""
    first_at: datetime
    last_at: datetime


@dataclass(slots=True, frozen=True)
class Chosen:
    """Dead letters of one rule that a command is about."""

    rule: str
    rows: tuple[DeadRow, ...]

    @property
    def messages(self) -> int:
        """How many there are."""
        return sum(it.count for it in self.rows)

    @property
    def until(self) -> int:
        """When the newest came, in microseconds since 1970: what comes later is not meant."""
        return max(micros(it.last_at) for it in self.rows)


@operation("rule:read", owned=True)
def listing(
    context: Context,
    *,
    after: Any = None,
    limit: int = 100,
    rule: str | None = None,
    reason: str | None = None,
    sort: str = "id",
) -> Page[DeadRow]:
    """Return dead letters by id or ``last_at``, of all rules or of one.

    Raises UsageError for an unknown reason.
    """
    owner = context.actor.owner
    found = dead_letters.listing(
        after=after,
        limit=limit,
        rule=rules.find(rule, owner=owner).id if rule else None,
        reason=_reason(reason),
        owner=owner,
        sort=sort,
    )
    return page_of(DeadRow, found)


@dataclass(slots=True, frozen=True)
class DeadCount(OfRule):
    """How many messages of a rule could not be delivered, for one reason."""

    rule_id: int
    session: str
    name: str
    reason: str
    count: int


@operation("rule:read", owned=True)
def counts(context: Context, *, rule: str | None = None) -> list[DeadCount]:
    """Return how many dead letters each rule, or one, has by reason; nothing for one without."""
    owner = context.actor.owner
    chosen = rules.find(rule, owner=owner).id if rule else None
    return [DeadCount(**it) for it in dead_letters.counts(owner, chosen)]


@operation("rule:read", owned=True)
def choose(
    context: Context,
    rule: str,
    *,
    ids: Sequence[int] = (),
    reason: str | None = None,
    until: int | None = None,
) -> Chosen:
    """Return a rule's dead letters: all, those of a reason, or some by their ids.

    ``until`` leaves out the rows that got a message after an instant, in microseconds since
    1970 (see ``Chosen.until``). Raises NotFoundError when the rule has none such.
    """
    return _chosen(context, rule, ids, reason, until)


@operation("rule:write", owned=True)
def choose_for_change(
    context: Context,
    rule: str,
    *,
    ids: Sequence[int] = (),
    reason: str | None = None,
    until: int | None = None,
) -> Chosen:
    """Return what ``choose`` does, for an actor that changes rules and need not read them."""
    return _chosen(context, rule, ids, reason, until)


def _chosen(
    context: Context, rule: str, ids: Sequence[int], reason: str | None, until: int | None
) -> Chosen:
    stored = rules.find(rule, owner=context.actor.owner)
    path = f"{stored.session.name}/{stored.name}"

    def page(after: Any, limit: int) -> Page[DeadRow]:
        found = dead_letters.listing(
            after=after, limit=limit, rule=stored.id, reason=_reason(reason)
        )
        return page_of(DeadRow, found)

    wanted = frozenset(ids)
    rows = tuple(
        it
        for it in every(page)
        if (not wanted or it.id in wanted) and (until is None or micros(it.last_at) <= until)
    )
    missing = sorted(wanted - {it.id for it in rows})
    if missing or not rows:
        what = f" {missing[0]}" if missing else ""
        raise NotFoundError(
            f"Rule {path} has no dead letters{what}; 'afx rule dead list' shows them."
        )
    return Chosen(path, rows)


def _reason(text: str | None) -> str:
    if text and text not in list(DeadReason):
        raise UsageError(f"A reason is one of {', '.join(DeadReason)}; correct it.")
    return text or ""


@operation("rule:write", owned=True)
def drop(context: Context, chosen: Chosen) -> int:
    """Delete dead letters; returns how many messages are never delivered by that.

    A row that has changed since it was chosen stays.
    """
    rule = rules.find(chosen.rule, owner=context.actor.owner)
    with change(context, "rule.dead.drop", f"rule/{chosen.rule}") as details:
        count = dead_letters.drop(rule.id, [(it.id, it.messages) for it in chosen.rows])
        details.update({"messages": count, "before": [_content(it) for it in chosen.rows]})
    return count


@operation("rule:write", owned=True)
def retry(context: Context, chosen: Chosen) -> list[int]:
    """Queue tasks that put dead letters back into their outboxes; returns the tasks.

    A row leaves when the session's node has stored its messages in an outbox. All tasks are
    queued, or none. It takes the scope ``task:write`` as well.
    """
    stored = rules.find(chosen.rule, owner=context.actor.owner)
    tasks: list[int] = []
    with change(context, "rule.dead.retry", f"rule/{chosen.rule}") as details:
        for number, routes in enumerate(_parts(chosen.rows)):
            request = TaskRequest(
                kind="rule.retry",
                arguments={"rule": stored.id, "routes": routes},
                sessions=(str(stored.session_id),),
                unique_key=f"{stored.id}:{chosen.rows[0].id}:{number}",
            )
            tasks += submit(context, request).ids
        details.update({"messages": chosen.messages, "tasks": tasks})
    return tasks


def _parts(rows: Sequence[DeadRow]) -> Iterator[list[dict[str, Any]]]:
    """Return the rows as arguments of tasks, each of a bounded size."""
    part: list[dict[str, Any]] = []
    size = 0
    for it in rows:
        if part and size + len(it.messages) > _ROUTES_BYTES:
            yield part
            part, size = [], 0
        route = {"source": it.source, "destination": it.destination, "messages": it.messages}
        part.append({**route, **({"reason": it.reason} if it.reason in _TELLING else {})})
        size += len(it.messages) + 100
    if part:
        yield part


def _content(it: DeadRow) -> dict[str, Any]:
    return {
        "from": it.source,
        "to": it.destination,
        "reason": it.reason,
        "messages": it.messages,
    }
