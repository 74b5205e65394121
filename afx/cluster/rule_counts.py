"""What nodes count of each rule: messages forwarded and skipped, waits, and latencies.

Latencies are counted in buckets of powers of two, so that counts of two times, or of two
nodes, add up; a percentile is exact to its bucket, and interpolated within it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice

from afx.cluster.fields import INT32_LIMIT
from afx.cluster.reports import RulesCounted

BUCKETS = 20
"""Bucket 0 is below 1 ms, bucket N from 2^(N-1) to 2^N ms; the last one has no end (262 s)."""
_LARGEST = INT32_LIMIT - 1
_RULES_IN_REPORT = 500


@dataclass(slots=True)
class RuleTally:
    """Counts of one rule, since they were taken last."""

    forwarded: int = 0
    skipped: int = 0
    """Messages that its filter did not take."""
    waits: int = 0
    """How often Telegram wanted no sends to one of its destinations for a time."""
    waited_ms: int = 0
    """What these waits came to."""
    latencies: dict[int, int] = field(default_factory=dict)
    """Bucket → forwarded messages."""

    def add(self, other: RuleTally) -> None:
        """Add another tally of the same rule."""
        self.forwarded += other.forwarded
        self.skipped += other.skipped
        self.waits += other.waits
        self.waited_ms += other.waited_ms
        add_latencies(self.latencies, other.latencies)


def bucket_of(seconds: float) -> int:
    """Return the bucket of a latency."""
    return min(BUCKETS - 1, max(0, int(seconds * 1000)).bit_length())


def add_latencies(found: dict[int, int], more: Mapping[int, int]) -> None:
    """Add counts to those of the same buckets."""
    for bucket, count in more.items():
        found[bucket] = found.get(bucket, 0) + count


def percentile(latencies: Mapping[int, int], share: float) -> float | None:
    """Return the latency, in seconds, that a share of the messages did not exceed.

    ``share`` is from 0 to 1. None when there are none; of the last bucket, its beginning.
    """
    total = sum(latencies.values())
    rank = share * total
    passed = 0
    for bucket in sorted(latencies):
        count = latencies[bucket]
        if count and passed + count >= rank:
            low = 0.0 if bucket == 0 else float(1 << (bucket - 1))
            high = low if bucket >= BUCKETS - 1 else float(1 << bucket)
            return round((low + (high - low) * max(0.0, rank - passed) / count) / 1000, 6)
        passed += count
    return None


def reports_of(
    tallies: Mapping[int, RuleTally], *, node: str, incarnation: str
) -> Iterator[RulesCounted]:
    """Yield the reports of tallies, by rule."""
    rows = iter(tallies.items())
    while part := list(islice(rows, _RULES_IN_REPORT)):
        counts = [it for _, it in part]
        yield RulesCounted(
            node=node,
            incarnation=incarnation,
            rule_ids=tuple(rule for rule, _ in part),
            forwarded=_bounded(it.forwarded for it in counts),
            skipped=_bounded(it.skipped for it in counts),
            waits=_bounded(it.waits for it in counts),
            waited_ms=_bounded(it.waited_ms for it in counts),
            latencies=tuple(
                number
                for index, it in enumerate(counts)
                for bucket, count in sorted(it.latencies.items())
                for number in (index, bucket, min(count, _LARGEST))
            ),
        )


def tallies_of(reports: Iterable[RulesCounted]) -> dict[int, RuleTally]:
    """Return the sums of reports by rule; what is malformed in one is left out."""
    found: dict[int, RuleTally] = {}
    for report in reports:
        rules = report.rule_ids
        counts = (report.forwarded, report.skipped, report.waits, report.waited_ms)
        if any(len(it) != len(rules) for it in counts):
            continue
        for rule, forwarded, skipped, waits, waited in zip(rules, *counts, strict=True):
            tally = RuleTally(forwarded, skipped, waits, waited)
            found.setdefault(rule, RuleTally()).add(tally)
        triples = report.latencies
        for index, bucket, count in zip(triples[::3], triples[1::3], triples[2::3], strict=False):
            if index < len(rules) and bucket < BUCKETS:
                add_latencies(found[rules[index]].latencies, {bucket: count})
    return found


def _bounded(counts: Iterable[int]) -> tuple[int, ...]:
    return tuple(min(it, _LARGEST) for it in counts)
