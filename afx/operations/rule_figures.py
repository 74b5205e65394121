"""What becomes of messages by rule: counts, waits and latencies over a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from afx.cluster.rule_counts import percentile
from afx.operations.context import Context, operation
from models.storage import message_minutes, rule_analytics, rules, sessions
from models.storage.rule_counts import RuleCount

MOST_BUSIEST = 20


@dataclass(slots=True, frozen=True)
class RuleFigures:
    """What became of messages of one rule; times in seconds."""

    forwarded: int = 0
    """Deliveries that were made."""
    skipped: int = 0
    """Messages that its filter did not take."""
    dead_letters: int = 0
    """Deliveries that were given up."""
    waits: int = 0
    """How often Telegram wanted no sends to one of its destinations for a time."""
    waited: float = 0.0
    """What these waits came to."""
    latency_p50: float | None = None
    """From when a message came, or from when it was posted if it was missed, to its copy."""
    latency_p99: float | None = None


@dataclass(slots=True, frozen=True)
class RuleSpan:
    """The figures of an hour or a day."""

    at: datetime
    """Its beginning."""
    span: int
    """Seconds."""
    figures: RuleFigures


@dataclass(slots=True, frozen=True)
class RuleHistory:
    """The figures of a rule over a time, in all and hour by hour, or day by day."""

    rule_id: int
    session: str
    name: str
    figures: RuleFigures
    rows: Sequence[RuleSpan]


@dataclass(slots=True, frozen=True)
class RuleTotal:
    """One rule among others, and its figures."""

    rule_id: int
    session: str
    name: str
    figures: RuleFigures


@operation("rule:read", owned=True)
def history(context: Context, text: str, since: datetime) -> RuleHistory:
    """Return the figures of the rule that an id or ``SESSION/NAME`` means.

    They begin with the hour in which ``since`` lies; of more than three days, with its day.
    """
    rule = rules.find(text, owner=context.actor.owner)
    rows = rule_analytics.series(rule.id, since)
    total = RuleCount(rule.id)
    for it in rows:
        total.add(it["count"])
    return RuleHistory(
        rule.id,
        rule.session.name,
        rule.name,
        _figures(total),
        [RuleSpan(it["at"], it["span"], _figures(it["count"])) for it in rows],
    )


@operation("rule:read", owned=True)
def busiest(
    context: Context, since: datetime, *, session: str | None = None, most: int = MOST_BUSIEST
) -> list[RuleTotal]:
    """Return the rules that forwarded most since an instant, most first."""
    owner = context.actor.owner
    chosen = sessions.find(session, owner=owner).id if session else None
    return totals(since, owner=owner, session=chosen, most=most)


@operation("rule:read", owned=True)
def of_rules(context: Context, ids: Sequence[int], since: datetime) -> dict[int, RuleFigures]:
    """Return the figures of some rules since an instant, by their ids."""
    found = rule_analytics.of_rules(ids, since, owner=context.actor.owner)
    return {it: _figures(found.get(it, RuleCount(it))) for it in ids}


def total(since: datetime) -> RuleFigures:
    """Return the figures of all rules together, for operations that have checked who asks."""
    return _figures(rule_analytics.total(since))


def of_minutes(since: datetime) -> RuleFigures:
    """Return the figures of all rules together since the minute of an instant, lately."""
    return _figures(message_minutes.total(since))


def totals(
    since: datetime, *, owner: str = "", session: int | None = None, most: int = MOST_BUSIEST
) -> list[RuleTotal]:
    """Return what ``busiest`` does, for operations that have checked who asks."""
    return [
        RuleTotal(it["rule_id"], it["session"], it["name"], _figures(it["count"]))
        for it in rule_analytics.totals(since, owner=owner, session=session, most=most)
    ]


def _figures(it: RuleCount) -> RuleFigures:
    return RuleFigures(
        it.forwarded,
        it.skipped,
        it.dead,
        it.waits,
        it.waited_ms / 1000,
        percentile(it.latencies, 0.5),
        percentile(it.latencies, 0.99),
    )
