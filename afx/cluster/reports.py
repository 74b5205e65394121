"""What nodes report: one dataclass per kind, reasons as codes.

An entry of the stream (``report_stream.py``) is one JSON list of reports. Nothing in it is
trusted by its form: a report that does not parse, or whose kind is unknown, is refused and
quarantined, and the reports beside it are used. A field that this version does not know is
dropped and counted, for nodes of a newer version may send it.
"""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from afx.cluster.fields import EXACT_LIMIT, INT32_LIMIT, is_storable
from afx.cluster.held_content import SEALED_LIMIT
from afx.cluster.message_reports import (
    AlertRaised,
    DeadLettered,
    DeadRevived,
    HeldEnded,
    MessageHeld,
)
from afx.cluster.quarantine import Refused
from afx.cluster.quarantine import refused as refused_record
from afx.cluster.report_base import NodeReport, SessionReport
from afx.cluster.task_jobs import CURSOR_LIMIT
from afx.reasons import (
    FailureReason,
    StopReason,
    TaskOutcome,
    TroubleReason,
)

__all__ = [
    "AlertRaised",
    "DeadLettered",
    "DeadRevived",
    "HeldEnded",
    "MessageHeld",
    "SessionReport",
]
_TEXT_LIMIT = 1_000
_LIST_LIMIT = 100_000
_LAST_MILLISECOND = 4_102_444_800_000
_LIMITS = {
    "session_id": INT32_LIMIT,
    "session_ids": INT32_LIMIT,
    "message_ids": INT32_LIMIT,
    "message_id": INT32_LIMIT,
    "album": INT32_LIMIT,
    "expires_at": _LAST_MILLISECOND // 1000,
    "attempts": INT32_LIMIT,
    "rule_id": INT32_LIMIT,
    "remaining": INT32_LIMIT,
    "task_id": INT32_LIMIT,
    "publication": INT32_LIMIT,
    "thousandths": 1001,
    "started_at": _LAST_MILLISECOND,
    "ended_at": _LAST_MILLISECOND,
    "logged_at": _LAST_MILLISECOND,
    "pause": 30 * 86_400_000,
    "rule_ids": INT32_LIMIT,
    "forwarded": INT32_LIMIT,
    "skipped": INT32_LIMIT,
    "waits": INT32_LIMIT,
    "waited_ms": INT32_LIMIT,
    "latencies": INT32_LIMIT,
    "days": INT32_LIMIT,
}
"""Of the integers that SQL stores in 32 bits, and of times; any other is exact in Lua."""
RESULT_LIMIT = 32_000
_LENGTHS = {
    "result": RESULT_LIMIT,
    "cursor": CURSOR_LIMIT,
    "content": SEALED_LIMIT,
    "node": 100,
    "error": 100,
    "witness": 100,
    "incarnation": 40,
    "witness_incarnation": 40,
}
"""Of the texts that may be longer, and of those that SQL stores in columns of a length."""
_SIGNED = frozenset({"source", "destination"})
"""Marked ids of chats."""


@dataclass(slots=True, frozen=True, kw_only=True)
class Running(SessionReport):
    """A session is connected, and its position is stored."""

    kind: ClassVar[str] = "running"


@dataclass(slots=True, frozen=True, kw_only=True)
class Stopped(SessionReport):
    """No connection of the session exists on the node, nor can one come to exist."""

    kind: ClassVar[str] = "stopped"
    reason: StopReason
    text: str = ""
    due: int = 0
    """When something of it is to be sent or deleted, in Unix seconds; 0: nothing waits."""


@dataclass(slots=True, frozen=True, kw_only=True)
class Failed(SessionReport):
    """A session has ended by itself; no connection of it exists on the node."""

    kind: ClassVar[str] = "failed"
    reason: FailureReason
    text: str = ""


@dataclass(slots=True, frozen=True, kw_only=True)
class Trouble(SessionReport):
    """Something hinders a session that goes on."""

    kind: ClassVar[str] = "trouble"
    reason: TroubleReason
    text: str = ""


@dataclass(slots=True, frozen=True, kw_only=True)
class RuleStopped(SessionReport):
    """A rule does not forward all that it should; its session runs.

    It follows the session's ``Running``, which says that all of its rules work.
    """

    kind: ClassVar[str] = "rule_stopped"
    rule_id: int
    reason: TroubleReason
    text: str = ""


@dataclass(slots=True, frozen=True, kw_only=True)
class RuleResumed(SessionReport):
    """A rule that had stopped forwards again."""

    kind: ClassVar[str] = "rule_resumed"
    rule_id: int


@dataclass(slots=True, frozen=True, kw_only=True)
class Active(NodeReport):
    """Which sessions have forwarded something lately."""

    kind: ClassVar[str] = "active"
    session_ids: tuple[int, ...]


@dataclass(slots=True, frozen=True, kw_only=True)
class RulesCounted(NodeReport):
    """What became of messages since the last such report, by rule (see ``rule_counts``)."""

    kind: ClassVar[str] = "rules_counted"
    rule_ids: tuple[int, ...]
    forwarded: tuple[int, ...]
    """Of each rule, in the same order; so are the next three."""
    skipped: tuple[int, ...]
    waits: tuple[int, ...]
    waited_ms: tuple[int, ...]
    latencies: tuple[int, ...]
    """The place of a rule, a bucket and a count, one after another."""


@dataclass(slots=True, frozen=True, kw_only=True)
class CaughtUp(NodeReport):
    """Which sessions have worked off what they had missed when they started."""

    kind: ClassVar[str] = "caught_up"
    session_ids: tuple[int, ...]
    epochs: tuple[int, ...]
    """Of each session, in the same order."""


@dataclass(slots=True, frozen=True, kw_only=True)
class LoginLimit(SessionReport):
    """After how many days without use Telegram ends the logins of a session's account."""

    kind: ClassVar[str] = "login_limit"
    days: int


@dataclass(slots=True, frozen=True, kw_only=True)
class Inventory(NodeReport):
    """A part of the sessions that have not ended on a node, as the leader asked."""

    kind: ClassVar[str] = "inventory"
    term: int
    """Of the leader that asked."""
    session_ids: tuple[int, ...]
    epochs: tuple[int, ...]
    """Of each session, in the same order."""
    remaining: int
    """How many parts follow."""
    proof: str = ""
    """Of the newest generation of which the node has a spec (``generation_proof``)."""


@dataclass(slots=True, frozen=True, kw_only=True)
class Died(NodeReport):
    """A witness on the same machine saw all processes of a node's incarnation end.

    It is the one report of a node about another one.
    """

    kind: ClassVar[str] = "died"
    witness: str
    """The node that saw it."""
    witness_incarnation: str


@dataclass(slots=True, frozen=True, kw_only=True)
class _TaskReport(NodeReport):
    task_id: int
    publication: int
    """An earlier publication's reports do not count."""


@dataclass(slots=True, frozen=True, kw_only=True)
class TaskStarted(_TaskReport):
    """A task runs on the node."""

    kind: ClassVar[str] = "task_started"
    started_at: int
    """Milliseconds since 1970, by the node's clock."""


@dataclass(slots=True, frozen=True, kw_only=True)
class TaskProgressed(_TaskReport):
    """How far a task is."""

    kind: ClassVar[str] = "task_progressed"
    thousandths: int
    cursor: str = ""
    """Where a next attempt goes on, as JSON."""


@dataclass(slots=True, frozen=True, kw_only=True)
class TaskLogged(_TaskReport):
    """A task says something to whoever follows it."""

    kind: ClassVar[str] = "task_logged"
    logged_at: int
    """Milliseconds since 1970, by the node's clock."""
    text: str


@dataclass(slots=True, frozen=True, kw_only=True)
class TaskEnded(_TaskReport):
    """One run of a task has ended."""

    kind: ClassVar[str] = "task_ended"
    outcome: TaskOutcome
    started_at: int
    """Milliseconds since 1970; 0: it did not start."""
    ended_at: int
    pause: int = 0
    """Milliseconds that Telegram asks to wait, when it is snoozed."""
    result: str = ""
    """JSON."""
    text: str = ""


Report = (
    Running
    | Stopped
    | Failed
    | Trouble
    | RuleStopped
    | RuleResumed
    | DeadLettered
    | DeadRevived
    | MessageHeld
    | HeldEnded
    | AlertRaised
    | Active
    | RulesCounted
    | CaughtUp
    | LoginLimit
    | Inventory
    | Died
    | TaskStarted
    | TaskProgressed
    | TaskLogged
    | TaskEnded
)
KINDS: dict[str, type[Report]] = {it.kind: it for it in typing.get_args(Report)}
_TYPES: dict[str, dict[str, Any]] = {
    kind: {it.name: typing.get_type_hints(cls)[it.name] for it in fields(cls)}
    for kind, cls in KINDS.items()
}
"""Kind → the types of its fields: thousands of reports are read a second."""


def encode(reports: Iterable[Report]) -> dict[str, str]:
    """Return reports as the fields of one stream entry."""
    rows = []
    for it in reports:
        row = {"kind": it.kind, **{name: getattr(it, name) for name in _TYPES[it.kind]}}
        if "text" in row:
            row["text"] = row["text"][:_TEXT_LIMIT]
        rows.append(row)
    return {"reports": json.dumps(rows, separators=(",", ":"))}


def decode(entry: str, values: Mapping[str, str]) -> tuple[list[Report], list[Refused]]:
    """Return the reports of one stream entry, and what of it is refused; never raises."""
    text = values.get("reports", "")
    try:
        rows = json.loads(text)
    except (ValueError, RecursionError):
        return [], [refused_record(entry, "not JSON", text)]
    if not isinstance(rows, list):
        return [], [refused_record(entry, "not a list of reports", text)]
    reports: list[Report] = []
    refused: list[Refused] = []
    for row in rows:
        try:
            report, unknown = _parse(row)
        except ValueError as error:
            refused.append(refused_record(entry, str(error), _shown(row)))
            continue
        reports.append(report)
        if unknown:
            names = ascii(", ".join(unknown))[:_TEXT_LIMIT]
            refused.append(refused_record(entry, f"unknown fields: {names}", _shown(row)))
    return reports, refused


def _parse(row: Any) -> tuple[Report, list[str]]:
    """Return (report, names of its unknown fields); raises ValueError."""
    if not isinstance(row, dict):
        raise ValueError("not an object")
    values: dict[str, Any] = dict(row)
    kind = values.pop("kind", None)
    cls = KINDS.get(kind) if isinstance(kind, str) else None
    if cls is None:
        raise ValueError("unknown kind")
    known: dict[str, Any] = {}
    for name, wanted in _TYPES[cls.kind].items():
        if name in values:
            known[name] = _value(name, wanted, values.pop(name))
    try:
        return cls(**known), sorted(str(name) for name in values)
    except TypeError:
        raise ValueError("a field is missing") from None


def _value(name: str, wanted: Any, value: Any) -> Any:
    """Return a field's value as its type; raises ValueError for another one."""
    if wanted is int:
        lowest = -EXACT_LIMIT if name in _SIGNED else 0
        if type(value) is int and lowest <= value < _LIMITS.get(name, EXACT_LIMIT):
            return value
    elif wanted is str:
        longest = _LENGTHS.get(name, _TEXT_LIMIT)
        if isinstance(value, str) and len(value) <= longest and is_storable(value):
            return value
    elif isinstance(wanted, types.GenericAlias):  # a tuple of ids
        if isinstance(value, list) and len(value) <= _LIST_LIMIT:
            return tuple(_value(name, int, it) for it in value)
    elif isinstance(value, str):
        try:
            return wanted(value)
        except ValueError:
            pass
    raise ValueError(f"field {name} has a wrong value")


def _shown(row: Any) -> str:
    try:
        return json.dumps(row, separators=(",", ":"))
    except RecursionError:
        return "(nested too deeply)"
