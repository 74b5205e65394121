"""Of what nodes report webhooks are told; call these in the transaction that writes the reports."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from afx.cluster import messages
from afx.cluster.reports import AlertRaised, DeadLettered, Failed, Report, RuleResumed, RuleStopped
from afx.reasons import FailureReason, TroubleReason
from models.storage import webhooks
from models.storage.sessions import QUARANTINE_FAILURES
from models.webhook_tables import EventKind


def record_failures(failed: Sequence[Failed], counts: Mapping[int, int]) -> None:
    """Tell of sessions that need a login, and of those that fail again and again.

    ``counts`` is session → how often it had failed before.
    """
    lost, troubled = [], []
    for it in failed:
        details = {"worker": it.node, "reason": str(it.reason), "text": messages.ended(it)}
        if it.reason is FailureReason.LOGIN_LOST:
            lost.append((it.session_id, details))
        elif counts.get(it.session_id, 0) + 1 == QUARANTINE_FAILURES:
            troubled.append((it.session_id, details))
    for kind, rows in ((EventKind.LOGIN_NEEDED, lost), (EventKind.TROUBLED, troubled)):
        if rows:
            webhooks.record_events(webhooks.session_events(kind, rows))


def record_stopped_rules(reports: Iterable[RuleStopped | RuleResumed]) -> None:
    """Tell of rules that worked until now; before their troubles are noted."""
    stopped = [it for it in reports if isinstance(it, RuleStopped)]
    if not stopped:
        return
    worked = webhooks.working_rules([it.rule_id for it in stopped])
    for kind in (EventKind.RULE_DISABLED, EventKind.RULE_CAPPED):
        is_capped = kind is EventKind.RULE_CAPPED
        rows = [
            (it.session_id, {"rule": it.rule_id, "text": messages.rule_stopped(it)})
            for it in stopped
            if it.rule_id in worked and (it.reason is TroubleReason.CAP_REACHED) is is_capped
        ]
        if rows:
            webhooks.record_events(webhooks.session_events(kind, rows))


def record_dead_letters(reports: Iterable[Report]) -> None:
    """Tell how many messages of which rules have become dead letters, by reason."""
    dead = [it for it in reports if isinstance(it, DeadLettered)]
    if not dead:
        return
    known = webhooks.sessions_of_rules([it.rule_id for it in dead])
    found: Counter[tuple[int, int, str, str]] = Counter()
    for it in dead:
        if known.get(it.rule_id) == it.session_id:
            found[it.session_id, it.rule_id, str(it.reason), it.error] += len(it.message_ids)
    rows = [
        (session, {"rule": rule, "reason": reason, "error": error, "count": count})
        for (session, rule, reason, error), count in found.items()
    ]
    webhooks.record_events(webhooks.session_events(EventKind.DEAD_LETTER, rows))


def record_alerts(reports: Iterable[Report]) -> None:
    """Tell of messages that meet the condition of a rule's alerts, of each message once."""
    raised = [it for it in reports if isinstance(it, AlertRaised)]
    if not raised:
        return
    known = webhooks.sessions_of_rules([it.rule_id for it in raised])
    events = []
    for it in raised:
        if known.get(it.rule_id) != it.session_id:
            continue
        details = {
            "rule": it.rule_id,
            "source": it.source,
            "message": it.message_id,
            "link": it.link,
            "left_out": it.left_out,
        }
        key = f"alert:{it.rule_id}:{it.source}:{it.message_id}"
        events += [
            replace(event, unique_key=key)
            for event in webhooks.session_events(EventKind.RULE_ALERT, [(it.session_id, details)])
        ]
    webhooks.record_events(events)
