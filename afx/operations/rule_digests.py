"""What rules have collected for their next digests, by the copies of cursors that SQL has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from afx.operations.context import Context, operation
from afx.operations.of_rule import OfRule
from models.storage import cursors, rules


@dataclass(slots=True, frozen=True)
class Collected(OfRule):
    """What waits for the next digest of a rule; some seconds old."""

    rule_id: int
    session: str
    name: str
    waiting: int
    """Messages; where destinations differ, those of the one with most."""
    due_at: datetime | None
    """When the next one is sent; None while nothing waits."""


@operation("rule:read", owned=True)
def listing(
    context: Context, *, rule: str | None = None, session: str | None = None
) -> list[Collected]:
    """Return what waits for the digests of each rule that has any, or of one."""
    owner = context.actor.owner
    chosen = rules.find(rule, owner=owner).id if rule else None
    return [
        Collected(it["rule_id"], it["session"], it["name"], *_waiting(it["rule_id"], it["fields"]))
        for it in cursors.of_digests(owner, chosen, session or "")
    ]


def _waiting(rule: int, fields: Mapping[str, str]) -> tuple[int, datetime | None]:
    """Return how many messages wait, and when the first one is due."""
    counts: dict[str, int] = {}
    first = 0
    for name, text in fields.items():
        queue, _, place = name.partition(f"later:s{rule}:")
        if queue or not place:
            continue
        chat = place.rpartition(":")[0]
        for count, due in _runs(text):
            counts[chat] = counts.get(chat, 0) + count
            first = min(first or due, due)
    due_at = datetime.fromtimestamp(first, UTC) if first else None
    return max(counts.values(), default=0), due_at


def _runs(text: str) -> Iterator[tuple[int, int]]:
    """Yield (references, when they are due) of a stored queue (see ``afx/node/outbox.py``)."""
    for run in text.split(";"):
        ids, _, due = run.rpartition(":")[2].partition("@")
        try:
            ends = [tuple(map(int, it.split("-"))) for it in ids.split(",")]
            yield sum(it[-1] - it[0] + 1 for it in ends), int(due)
        except ValueError:
            continue  # a later version has written it
