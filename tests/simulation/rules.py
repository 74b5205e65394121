"""The rules that are left out, one at a time, and the faults that each is for."""

from __future__ import annotations

from simulation.broken import (
    _AT_ONCE,
    _OWNED,
    Broken,
    _answer_first,
    _blind_is_dead,
    _cool_down_of_nothing,
    _counts_as_they_are,
    _end_at_once,
    _kinds,
    _lost_commits_unnoticed,
    _missing_is_dead,
    _no_inventory,
    _no_term_check,
    _read_strictly,
    _settled_at_once,
    _short_lease,
    _stop_leaves_the_start,
    _watch_no_deadline,
    _without,
)
from simulation.broken_replacements import old_one_again, replaced_is_dead

from afx.cluster import report_stream
from afx.cluster.replication import Replication
from afx.coordinator import generations, report_intake, term
from afx.coordinator.assignments import AssignmentTable
from afx.coordinator.decisions.epochs import EpochCounter
from afx.coordinator.failure_detector import FailureDetector
from afx.coordinator.orders import Orders
from afx.coordinator.placement_schedule import PlacementSchedule
from afx.coordinator.report_intake import ReportIntake
from afx.node import process_plan
from afx.node.lease_watch import LeaseWatch
from afx.node.residents import Residents
from afx.node.session_runner import SessionRunner

_MOVES = _kinds("move, pause and resume, drain, slow telegram, lose connection")

BROKEN = {
    it.name: it
    for it in (
        Broken(
            "SQL loses commits, place.lua ignores owners, nobody asks for the inventory",
            lambda _: [_OWNED, _AT_ONCE, (Orders, "ask_inventory", _no_inventory)],
            _kinds("sql loses commits, move, kill"),
        ),
        Broken(
            "place.lua gives away a session whose owner has not released it, before nodes answer",
            lambda _: [_OWNED, _AT_ONCE],
            _kinds("sql loses commits, move, bad network, freeze"),
            seconds={"freeze": (0.3, 1.5)},
        ),
        Broken(
            "no node is asked for its inventory",
            lambda _: [_AT_ONCE, (Orders, "ask_inventory", _no_inventory)],
            _kinds("flush, sql loses commits, move"),
            recover=True,
        ),
        Broken(
            "a leader goes on when SQL has lost commits of its term",
            _lost_commits_unnoticed,
            _kinds("sql loses commits, pause and resume, move"),
            recover=True,
        ),
        Broken(
            "Redis accepts writes without a replica",
            lambda cluster: [
                (cluster, "requires_replicas", False),
                (Replication, "split_seconds", property(lambda _: 0.0)),
            ],
            _kinds("split"),
            most=3,
        ),
        Broken(
            "a witness that cannot judge says that a node is dead",
            _blind_is_dead,
            _kinds("blind witness, failover, freeze, bad network"),
            most=12,
            seconds={"blind witness": (6.0, 14.0), "freeze": (0.6, 2.5)},
        ),
        Broken(
            "the position in the reports outlives a flush",
            lambda _: [(report_stream, "position", lambda _client, after: after)],
            _kinds("flush, move"),
            recover=True,
        ),
        Broken(
            "a report of a death is believed whoever sent it",
            lambda _: [(report_intake, "is_credible", lambda *_: True)],
            _kinds("forged death"),
            most=4,
        ),
        Broken(
            "STOP does not cancel a start",
            lambda _: [(Residents, "order_stop", _stop_leaves_the_start)],
            _kinds("pause and resume, slow telegram, kill, move"),
        ),
        Broken(
            "a session is reported as stopped before it has disconnected",
            lambda _: [(SessionRunner, "_stop", _answer_first)],
            _MOVES,
        ),
        Broken(
            "a host does not end with its lease",
            lambda _: [
                (LeaseWatch, "run", _watch_no_deadline),
                (LeaseWatch, "may_write", lambda _: True),
            ],
            _kinds("cut off, freeze"),
        ),
        Broken(
            "a leader waits for less than a lease",
            _short_lease,
            _kinds("cut off, freeze, bad network"),
        ),
        Broken(
            "an old term may write", _no_term_check, _kinds("freeze, leader hangs, failover, move")
        ),
        Broken(
            "epochs begin again with each term",
            lambda _: [
                (term, "EpochCounter", lambda _: EpochCounter(1)),
                (ReportIntake, "_check_generation", lambda _, batch: batch),
            ],
            _kinds("flush, kill, failover, move"),
        ),
        Broken(
            "a node without a record is dead",
            # Without records nothing is placed for a time, which hides it.
            lambda _: [
                (FailureDetector, "_missing", _missing_is_dead),
                (generations, "begin", _settled_at_once(generations.begin)),
            ],
            _kinds("flush, bad network, stall, cut off"),
            most=14,
        ),
        Broken(
            "counts are not set to what SQL says",
            lambda _: [
                (AssignmentTable, "_reconciled", _counts_as_they_are),
                _without("room", "and node[3] == term", ""),
                (generations, "begin", _settled_at_once(generations.begin)),
            ],
            _kinds("flush, failover, kill, sql loses commits"),
        ),
        Broken(
            "no cool-down",
            lambda _: [(PlacementSchedule, "note_ended", _cool_down_of_nothing)],
            _MOVES | {"kill"},
        ),
        Broken(
            "sockets outlive their process",
            lambda cluster: [(cluster.judge, "data_outlives_its_process", True)],
            _MOVES | {"kill"},
        ),
        Broken(
            "a moved session starts before it has stopped",
            lambda _: [(AssignmentTable, "stop", _end_at_once)],
            _MOVES,
        ),
        Broken(
            "a host that is replaced counts as dead once its successor has joined",
            lambda _: [(FailureDetector, "find_dead", replaced_is_dead)],
            _kinds("replace host"),
            most=4,
        ),
        Broken(
            "a host that was replaced begins again",
            lambda _: [
                (process_plan, "to_start", old_one_again),
                (process_plan, "to_forget", lambda *_: []),
            ],
            _kinds("replace host"),
            recover=True,
            most=3,
        ),
        Broken(
            "a report that does not parse ends the coordinator",
            lambda _: [(report_stream, "decode", _read_strictly)],
            _kinds("newer version"),
            most=3,
            crashes=True,
        ),
    )
}
