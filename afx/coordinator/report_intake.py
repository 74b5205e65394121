"""Takes what nodes report, and writes it to SQL: each batch in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import redis
import structlog

from afx.cluster import events, messages, quarantine, report_stream
from afx.cluster.generation_proof import proved
from afx.cluster.quarantine import Refused
from afx.cluster.registry import Registry
from afx.cluster.report_stream import Batch
from afx.cluster.reports import (
    Active,
    CaughtUp,
    DeadLettered,
    DeadRevived,
    Died,
    Failed,
    Inventory,
    LoginLimit,
    Report,
    RuleResumed,
    RuleStopped,
    Running,
    SessionReport,
    Stopped,
    Trouble,
)
from afx.coordinator import held_intake, rule_figures, webhook_events
from afx.coordinator.account_watch import AccountWatch
from afx.coordinator.assignments import AssignmentTable
from afx.coordinator.awaited_proofs import AwaitedProofs
from afx.coordinator.capacity import Capacity
from afx.coordinator.checkpoints import Checkpoints
from afx.coordinator.decisions import counters, retry_policy
from afx.coordinator.decisions.epochs import COUNTER_BITS
from afx.coordinator.decisions.testimony import is_credible
from afx.coordinator.failure_detector import FailureDetector
from afx.coordinator.proxy_watch import ProxyWatch
from afx.coordinator.spec_refusals import SpecRefusals
from afx.coordinator.task_intake import TaskIntake
from afx.coordinator.unknown_sessions import UnknownSessions
from afx.errors import FencedError
from afx.reasons import FailureReason
from afx.security.signing import SigningKeys
from models.base import REFUSED_DATA_ERRORS
from models.storage import cluster, dead_letters, hibernation, placing, troubles
from models.storage.dead_letters import Undelivered
from models.storage.troubles import Failure

log = structlog.get_logger()

_ENDED_LOGINS = (FailureReason.LOGIN_LOST, FailureReason.ACCOUNT_BANNED)
"""Of these a session is paused: to try again is in vain."""


class ReportIntake:
    """Reads the stream of reports from where SQL says it was last read in this Redis.

    A report about a session counts if it is of the session's current assignment, and
    from the node that has it; any other is outdated. A report of a node's death counts
    if the witness could see it. What does not parse, or is not credible, is quarantined.
    """

    def __init__(
        self,
        client: redis.Redis,
        *,
        run_id: str,
        settled_at: float,
        generation: int,
        keys: SigningKeys,
        proof: str,
        registry: Registry,
        table: AssignmentTable,
        detector: FailureDetector,
        capacity: Capacity,
        checkpoints: Checkpoints,
        unknown: UnknownSessions,
        spec_refusals: SpecRefusals,
        accounts: AccountWatch,
        tasks: TaskIntake,
        block_seconds: float,
        monotonic: Callable[[], float],
        note_caught_up: Callable[[CaughtUp], None] = lambda _: None,
    ) -> None:
        """Begin after the last report read; at the first one if Redis is another process.

        ``run_id`` is the Redis process's, ``settled_at`` when no earlier primary of it can
        renew a lease any more, ``generation`` the term's, of which the newest epochs are,
        ``proof`` that of the generation, ``keys`` check another's, and ``block_seconds`` is
        how long ``take`` waits for a report at most.
        """
        self._redis = client
        self._table = table
        self._detector = detector
        self._capacity = capacity
        self._checkpoints = checkpoints
        self._unknown = unknown
        self._proofs = AwaitedProofs(unknown.has_answered)
        self._spec_refusals = spec_refusals
        self._tasks = tasks
        self._block_seconds = block_seconds
        self._monotonic = monotonic
        self._note_caught_up = note_caught_up
        self._accounts = accounts
        self._proxies = ProxyWatch()
        self._run_id = run_id
        self._settled_at = settled_at
        self._is_noted = cluster.last_run_id() == run_id
        """SQL knows this Redis process: one that takes its place is recognised."""
        self._epoch_limit = counters.epoch_limit((generation + 1) << COUNTER_BITS)
        self._keys = keys
        self._proof = proof
        self._registry = registry
        self._last = report_stream.position(client, cluster.reports_read(run_id))
        self.is_behind = False
        """Reports that were sent a while ago may not have been read yet."""
        self.is_woken = False
        """Somebody has just asked for something, in SQL."""
        self.changed: frozenset[int] = frozenset()
        """The sessions of which the last batch says that they run, or have ended."""

    def take(self) -> bool:
        """Take one batch; True when there was none: all reports are read."""
        self._proofs.wait_for_more(self._redis, self._block_seconds)
        batch = report_stream.read(self._redis, self._last, block_seconds=self._block_seconds)
        self.is_behind = batch.is_full
        self.is_woken = batch.is_woken
        self.changed = frozenset(
            it.session_id for it in batch.reports if isinstance(it, Running | Stopped | Failed)
        )
        if batch.last == self._last:
            self._note_redis()
            return True
        exhausted = report_stream.is_exhausted(batch.last)
        if not (batch.reports or batch.refused or exhausted):
            # Somebody has submitted tasks, or requested controls: there is nothing to note.
            self._last = batch.last
            return False
        batch = self._without_jumps(batch)
        checked = self._check_generation(batch)
        if checked is None:
            self.is_behind, self.changed = True, frozenset()
            return False
        batch = checked
        deaths, hearsay = self._deaths(batch)
        quarantine.quarantine(self._redis, [*batch.refused, *hearsay])
        self._write_all(batch, position="0" if exhausted else batch.last)
        self._last = batch.last
        if exhausted and report_stream.restart(self._redis, batch.last):
            log.error("report_stream_exhausted", last=batch.last)
            self._last = "0"
        # What SQL has is not read again by a term that begins at the first report.
        report_stream.trim(self._redis, batch.last)
        for death in deaths:
            self._detector.note_witnessed(death.incarnation)
        for it in batch.reports:
            if isinstance(it, Trouble | RuleStopped) and self._is_current(it):
                self._announce(it)
        return False

    def _note_redis(self) -> None:
        """Let SQL know this Redis process although it has no report yet."""
        now = self._monotonic()
        if self._is_noted or now < self._settled_at:
            return
        with self._table.change(now):
            self._note_read(self._last, now)

    def _note_read(self, position: str, now: float) -> None:
        """Note the last report read, unless the next leader has still to see that Redis changed.

        It waits for leases of an earlier primary, as this one does; it may read reports again.
        """
        if now >= self._settled_at:
            cluster.set_reports_read(self._run_id, position)
            self._is_noted = True

    def _without_jumps(self, batch: Batch) -> Batch:
        """Refuse the reports of epochs that no leader can have given out.

        A node remembers the epochs under which it is ordered to stop a session: after a
        jump it would start the session under none of those that follow.
        """
        jumps = [it for it in batch.reports if _newest_epoch(it) >= self._epoch_limit]
        return _without(batch, jumps) if jumps else batch

    def _check_generation(self, batch: Batch) -> Batch | None:
        """Return a batch without what is not proved; None when its proof may follow.

        End the term when a node knows an epoch that is above all of this term.

        SQL and Redis have both lost the generation in which it was given out. Nodes refuse
        the epochs below it, so that the next term begins above it. It takes the reports.
        Only a coordinator's own proof shows that (``generation_proof``): each other report
        of such an epoch is refused, since whoever writes to Redis could make it. The node
        is asked for its inventory in each term, which has the proof; an inventory without it
        keeps its sessions from being placed (``UnknownSessions``). Raises FencedError.
        """
        above = [it for it in batch.reports if _newest_epoch(it) > self._table.newest_epoch]
        if not above:
            return batch
        # A report of nobody would end one term after another.
        nodes = {it.incarnation for it in self._registry.all()}
        newest = max(
            (_newest_epoch(it) for it in above if it.incarnation in nodes and self._is_proved(it)),
            default=0,
        )
        if not newest:
            if self._proofs.is_due(batch, above, self._monotonic()):
                return None
            lists = [it for it in above if isinstance(it, Inventory) and it.incarnation in nodes]
            credible = _without(batch, above)
            return replace(credible, reports=(*credible.reports, *lists))
        with self._table.change(self._monotonic()):
            cluster.note_generation(newest >> COUNTER_BITS)
        raise FencedError(
            f"A node knows epoch {newest}, which is above all of this term; the next term "
            "begins above it."
        )

    def _is_proved(self, report: Report) -> bool:
        """Return whether another term than this one has given out the epochs of a report."""
        if not isinstance(report, Inventory) or report.proof == self._proof:
            return False
        return proved(self._keys, report.proof) >= _newest_epoch(report) >> COUNTER_BITS

    def _deaths(self, batch: Batch) -> tuple[list[Died], list[Refused]]:
        """Return the deaths that a witness saw, and the reports that are not believed.

        Of a node in such a report nothing follows: a lease that is not renewed runs out.
        """
        claims = [it for it in batch.reports if isinstance(it, Died)]
        if not claims:
            return [], []
        nodes = self._registry.all()
        deaths = [it for it in claims if is_credible(it, nodes)]
        hearsay = [it for it in claims if it not in deaths]
        for it in hearsay:
            log.warning("death_not_credible", node=it.node, witness=it.witness)
        return deaths, [report_stream.not_credible(batch.last, it) for it in hearsay]

    def _write_all(self, batch: Batch, *, position: str) -> None:
        """Write a batch; what SQL cannot take is quarantined, and the rest is written.

        Such a report would end one term after another: each one reads it first.
        """
        try:
            self._write(batch, self._monotonic(), position=position)
        except REFUSED_DATA_ERRORS:
            refused = []
            for it in batch.reports:
                alone = replace(batch, reports=(it,))
                try:
                    self._write(alone, self._monotonic(), position=self._last)
                except REFUSED_DATA_ERRORS as error:
                    log.error("report_refused", node=it.node, reason=str(error).partition("\n")[0])
                    refused.append(report_stream.not_credible(batch.last, it))
            quarantine.quarantine(self._redis, refused)
            self._write(replace(batch, reports=()), self._monotonic(), position=position)

    def _write(self, batch: Batch, now: float, *, position: str) -> None:
        running = [it for it in batch.reports if isinstance(it, Running) and self._is_current(it)]
        ended = [
            it for it in batch.reports if isinstance(it, Stopped | Failed) and self._is_current(it)
        ]
        failed = [it for it in ended if isinstance(it, Failed)]
        hindered = [it for it in batch.reports if isinstance(it, Trouble) and self._is_current(it)]
        of_rules = [
            it
            for it in batch.reports
            if isinstance(it, RuleStopped | RuleResumed) and self._is_current(it)
        ]
        active = [
            session
            for it in batch.reports
            if isinstance(it, Active)
            for session in it.session_ids
            if self._runs(it, session)
        ]
        outdated = [
            it
            for it in batch.reports
            if isinstance(it, Stopped | Failed) and not self._is_current(it)
        ]
        with self._table.change(now) as change:
            # First: what writes to the audit log has its lock before those of other rows.
            held_intake.lock(batch.reports)
            self._spec_refusals.write(failed)
            started = [self._table.active[it.session_id] for it in running]
            change.run(started)
            # What runs already has none: a new leader has everything reported once more.
            fresh = [it.session for it in started if it.state != "running"]
            troubles.clear(fresh)
            troubles.clear_rules(fresh)
            webhook_events.record_stopped_rules(of_rules)
            troubles.note_rules([_rule_row(it) for it in of_rules])
            for it in ended:
                change.end([self._table.active[it.session_id]], messages.ended(it))
            hibernation.wake_by(
                [(it.session_id, it.due) for it in ended if isinstance(it, Stopped) and it.due]
            )
            revisions = {it.session_id: self._table.active[it.session_id].revision for it in failed}
            of_login = _of_present_login(failed, revisions)
            _write_failures(of_login, revisions)
            placing.note_active(active)
            hibernation.note_login_days(
                [
                    (it.session_id, it.days)
                    for it in batch.reports
                    if isinstance(it, LoginLimit) and self._is_current(it)
                ]
            )
            health = self._accounts.write(
                of_login, hindered, started=[it.session for it in started], active=active
            )
            failing = self._proxies.write(
                failed, hindered, started=[it.session for it in started], active=active
            )
            self._tasks.write(batch.reports)
            dead = dead_letters.note(
                _undelivered(it)
                for it in batch.reports
                if isinstance(it, DeadLettered | DeadRevived)
            )
            held_intake.write(batch.reports)
            webhook_events.record_dead_letters(batch.reports)
            webhook_events.record_alerts(batch.reports)
            rule_figures.note(batch.reports, dead)
            self._note_read(position, now)
        self._accounts.keep(health)
        self._proxies.keep(failing)
        self._spec_refusals.announce(failed)
        self._unknown.note_ended(outdated, now)
        for report in batch.reports:
            if isinstance(report, Inventory):
                self._unknown.note_inventory(report)
            elif isinstance(report, CaughtUp):
                self._note_caught_up(report)
            elif isinstance(report, Running) and report.session_id not in self._table.active:
                self._unknown.note_running(report)
        self._checkpoints.note(active)
        for it in failed:
            self._capacity.note_failure(it.session_id, it.node, now)
            log.warning("session_failed", **_fields(it))

    def _is_current(self, report: SessionReport) -> bool:
        it = self._table.current(report.session_id, report.epoch, report.incarnation)
        return it is not None and it.worker == report.node

    def _runs(self, report: Active, session_id: int) -> bool:
        it = self._table.active.get(session_id)
        return it is not None and (it.worker, it.incarnation) == (report.node, report.incarnation)

    def _announce(self, report: Trouble | RuleStopped) -> None:
        log.warning("session_trouble", **_fields(report))
        events.announce(self._redis, "trouble", **_fields(report))


def _without(batch: Batch, refused: Sequence[Report]) -> Batch:
    """Quarantine reports of epochs that are not credible."""
    for it in refused:
        log.error("epoch_refused", node=it.node, epoch=_newest_epoch(it))
    return replace(
        batch,
        reports=tuple(it for it in batch.reports if it not in refused),
        refused=(*batch.refused, *(report_stream.not_credible(batch.last, it) for it in refused)),
    )


def _newest_epoch(report: Report) -> int:
    if isinstance(report, SessionReport):
        return report.epoch
    return max(report.epochs, default=0) if isinstance(report, Inventory) else 0


def _rule_row(report: RuleStopped | RuleResumed) -> tuple[int, int, str]:
    text = messages.rule_stopped(report) if isinstance(report, RuleStopped) else ""
    return report.session_id, report.rule_id, text


def _undelivered(report: DeadLettered | DeadRevived) -> Undelivered:
    undelivered = Undelivered(
        report.session_id,
        report.rule_id,
        report.source,
        report.destination,
        report.message_ids,
    )
    if isinstance(report, DeadRevived):
        return undelivered
    reason, error, attempts = report.reason.value, report.error, report.attempts
    return replace(undelivered, reason=reason, error=error, attempts=attempts)


def _of_present_login(failed: Sequence[Failed], revisions: Mapping[int, int]) -> list[Failed]:
    """Leave out lost logins of sessions that have changed since: they may have another one.

    Such a session is placed anew; if its login is the lost one still, it fails once more.
    """
    placed = [(it.session_id, revisions[it.session_id]) for it in failed if _has_no_login(it)]
    newer = troubles.newer(placed) if placed else set()
    return [it for it in failed if not (_has_no_login(it) and it.session_id in newer)]


def _has_no_login(report: Failed) -> bool:
    return report.reason in _ENDED_LOGINS


def _write_failures(failed: Sequence[Failed], revisions: Mapping[int, int]) -> None:
    """Note why sessions failed and when they are tried again; a lost login is not.

    ``revisions`` are those under which the sessions were placed.
    """
    counts = troubles.failure_counts([it.session_id for it in failed])
    failures = []
    for it in failed:
        times = counts.get(it.session_id, 0) + 1
        text = messages.repeated(messages.ended(it), times)
        failures.append(Failure(it.session_id, text, retry_policy.pause_seconds(times)))
    troubles.note_failures(failures)
    webhook_events.record_failures(failed, counts)
    troubles.note_lost_logins(
        [
            (it.session_id, revisions[it.session_id], messages.ended(it))
            for it in failed
            if _has_no_login(it)
        ]
    )


def _fields(report: Failed | Trouble | RuleStopped) -> dict[str, object]:
    rule = {"rule": report.rule_id} if isinstance(report, RuleStopped) else {}
    return {
        **rule,
        "session": report.session_id,
        "node": report.node,
        "reason": report.reason,
        "text": report.text,
    }
