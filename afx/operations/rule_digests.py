"""What rules have collected for their next digests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice

from afx.cluster import keys
from afx.errors import AfxError
from afx.operations.context import Context, operation
from afx.operations.of_rule import OfRule
from models.storage import cursors, rules

_MOST = 4_000
"""Fields of one rule that are read; each has 256 messages at most."""


@dataclass(slots=True, frozen=True)
class Collected(OfRule):
    """What waits for the next digest of a rule."""

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
    found = rules.with_digests(owner, chosen, session or "")
    fields = _fields(context, [(it[0], it[1]) for it in found]) if found else {}
    return [Collected(it[0], it[2], it[3], *_waiting(it[0], fields[it[0]])) for it in found]


def _fields(context: Context, chosen: Sequence[tuple[int, int]]) -> dict[int, Mapping[str, str]]:
    """Return what is stored of rules, each given with its session; SQL may have an older copy."""
    import redis

    try:
        client = context.servers.redis_if_running()
        if client is not None:
            return {
                rule: dict(islice(client.hscan_iter(keys.cursor(session), *_of(rule)), _MOST))
                for rule, session in chosen
            }
    except (redis.RedisError, AfxError, UnicodeDecodeError):
        pass  # or it is malformed, which its node tells of
    stored = cursors.of_sessions(sorted({session for _, session in chosen}))
    return {rule: stored.get(session, {}) for rule, session in chosen}


def _of(rule: int) -> tuple[str, int]:
    """Return which fields of a cursor have what a rule collects, and how many are read at once."""
    return f"later:s{rule}:*", 1_000


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
