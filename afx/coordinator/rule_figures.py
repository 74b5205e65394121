"""Writes what became of messages, by rule, from what nodes report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from afx.cluster.reports import Report, RulesCounted
from afx.cluster.rule_counts import tallies_of
from models.storage import rule_analytics
from models.storage.rule_counts import RuleCount


def note(reports: Sequence[Report], dead: Mapping[int, int]) -> None:
    """Add the counts of reports to their rules' hours and days; call it in a transaction.

    They count whatever node the session is on by now: a report may follow a move. Dead letters
    are counted here, not by nodes: ``dead`` are those that are new, by rule.
    """
    tallies = tallies_of(it for it in reports if isinstance(it, RulesCounted))
    counts = [
        RuleCount(
            rule,
            forwarded=it.forwarded,
            skipped=it.skipped,
            waits=it.waits,
            waited_ms=it.waited_ms,
            latencies=it.latencies,
        )
        for rule, it in tallies.items()
    ]
    counts += [RuleCount(rule, dead=count) for rule, count in dead.items() if count]
    if counts:
        rule_analytics.note(counts)
