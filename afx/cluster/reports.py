"""The stream on which nodes report: one dataclass per kind, reasons as codes.

A stream entry holds one JSON list of reports. Nothing in it is trusted by its form:
a report that does not parse, or whose kind is unknown, is refused and kept in a
quarantine stream, and the reports beside it are used. A field that this version does
not know is dropped and counted, for nodes of a newer version may send it.
"""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import redis

from afx.cluster import keys
from afx.reasons import FailureReason, StopReason, TroubleReason

_REPORTS_LIMIT = 200_000
_REFUSED_LIMIT = 1_000
_REFUSED_TEXT_LIMIT = 2_000
_TEXT_LIMIT = 1_000
_INT_LIMIT = 2**63


@dataclass(slots=True, frozen=True, kw_only=True)
class _NodeReport:
    """The node that reports, and its incarnation."""

    kind: ClassVar[str]
    node: str
    incarnation: str


@dataclass(slots=True, frozen=True, kw_only=True)
class _SessionReport(_NodeReport):
    session_id: int
    epoch: int


@dataclass(slots=True, frozen=True, kw_only=True)
class Running(_SessionReport):
    """A session is connected, and its position is stored."""

    kind: ClassVar[str] = "running"


@dataclass(slots=True, frozen=True, kw_only=True)
class Stopped(_SessionReport):
    """No connection of the session exists on the node, nor can one come to exist."""

    kind: ClassVar[str] = "stopped"
    reason: StopReason
    text: str = ""


@dataclass(slots=True, frozen=True, kw_only=True)
class Failed(_SessionReport):
    """A session has ended by itself; no connection of it exists on the node."""

    kind: ClassVar[str] = "failed"
    reason: FailureReason
    text: str = ""


@dataclass(slots=True, frozen=True, kw_only=True)
class Trouble(_SessionReport):
    """Something hinders a session that goes on."""

    kind: ClassVar[str] = "trouble"
    reason: TroubleReason
    text: str = ""


@dataclass(slots=True, frozen=True, kw_only=True)
class Active(_NodeReport):
    """Which sessions have forwarded something lately."""

    kind: ClassVar[str] = "active"
    session_ids: tuple[int, ...]


@dataclass(slots=True, frozen=True, kw_only=True)
class Inventory(_NodeReport):
    """A part of the sessions that have not ended on a node, as the leader asked."""

    kind: ClassVar[str] = "inventory"
    term: int
    """Of the leader that asked."""
    session_ids: tuple[int, ...]
    epochs: tuple[int, ...]
    """Of each session, in the same order."""
    remaining: int
    """How many parts follow."""


@dataclass(slots=True, frozen=True, kw_only=True)
class Died(_NodeReport):
    """A witness on the same machine saw all processes of a node's incarnation end.

    It is the one report of a node about another one.
    """

    kind: ClassVar[str] = "died"
    witness: str
    """The node that saw it."""
    witness_incarnation: str


Report = Running | Stopped | Failed | Trouble | Active | Inventory | Died
_KINDS: dict[str, type[Report]] = {it.kind: it for it in typing.get_args(Report)}


@dataclass(slots=True, frozen=True)
class Refused:
    """A report, or a part of one, that was not used."""

    entry: str
    """The id of its stream entry."""
    reason: str
    text: str
    """What was received, shortened."""


@dataclass(slots=True, frozen=True)
class Batch:
    """What one read of the stream gave."""

    last: str
    """The id of the last entry read; the next read begins after it."""
    reports: tuple[Report, ...] = ()
    refused: tuple[Refused, ...] = ()


def encode(reports: Iterable[Report]) -> dict[str, str]:
    """Return reports as the fields of one stream entry."""
    rows = []
    for it in reports:
        row = {"kind": it.kind, **{f.name: getattr(it, f.name) for f in fields(it)}}
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
        return [], [_refused(entry, "not JSON", text)]
    if not isinstance(rows, list):
        return [], [_refused(entry, "not a list of reports", text)]
    reports: list[Report] = []
    refused: list[Refused] = []
    for row in rows:
        try:
            report, unknown = _parse(row)
        except ValueError as error:
            refused.append(_refused(entry, str(error), _shown(row)))
            continue
        reports.append(report)
        if unknown:
            names = ascii(", ".join(unknown))[:_TEXT_LIMIT]
            refused.append(_refused(entry, f"unknown fields: {names}", _shown(row)))
    return reports, refused


def publish(client: redis.Redis, reports: Iterable[Report]) -> None:
    """Append reports to the stream, as one entry."""
    client.xadd(
        keys.REPORTS,
        encode(reports),  # type: ignore[arg-type]
        maxlen=_REPORTS_LIMIT,
        approximate=True,
    )


async def publish_async(client: Any, reports: Iterable[Report]) -> None:
    """Append reports to the stream from a host's loop."""
    await client.xadd(keys.REPORTS, encode(reports), maxlen=_REPORTS_LIMIT, approximate=True)


def read(client: redis.Redis, after: str, *, block_seconds: float, limit: int = 500) -> Batch:
    """Return what follows the entry ``after``; waits up to ``block_seconds`` for it."""
    try:
        answer: Any = client.xread(
            {keys.REPORTS: after}, count=limit, block=max(1, int(block_seconds * 1000))
        )
    except UnicodeDecodeError:
        answer = [(keys.REPORTS, _read_replacing(client, after, limit))]
    reports: list[Report] = []
    refused: list[Refused] = []
    for entry, values in _entries(answer):
        after = entry
        found, bad = decode(entry, values)
        reports += found
        refused += bad
    return Batch(after, tuple(reports), tuple(refused))


def position(client: redis.Redis, after: str) -> str:
    """Return where to read on after the entry ``after``; "0" if the stream is a new one.

    A stream that was flushed and begun again, on a clock that went back, gives out ids
    below those that were read.
    """
    try:
        info: Any = client.xinfo_stream(keys.REPORTS)
    except redis.ResponseError:
        return "0"  # there is no stream
    last = str(info["last-generated-id"])
    return after if _entry_id(after) <= _entry_id(last) else "0"


def not_credible(entry: str, report: Report) -> Refused:
    """Return a report that parses and is not believed, for the quarantine."""
    return _refused(entry, "not credible", encode([report])["reports"])


def trim(client: redis.Redis, read: str) -> None:
    """Remove the entries up to about ``read``."""
    client.xtrim(keys.REPORTS, minid=read, approximate=True)


def quarantine(client: redis.Redis, refused: Iterable[Refused]) -> None:
    """Keep refused reports for people to see, the newest thousand of them; counts all."""
    rows = list(refused)
    if not rows:
        return
    pipe = client.pipeline(transaction=False)
    for it in rows:
        pipe.xadd(
            keys.REPORTS_REFUSED,
            {"entry": it.entry, "reason": it.reason, "text": it.text},
            maxlen=_REFUSED_LIMIT,
            approximate=True,
        )
    pipe.incrby(keys.REPORTS_REFUSED_COUNT, len(rows))
    pipe.execute()


def refused_count(client: redis.Redis) -> int:
    """Return how many reports, or parts of reports, were ever refused."""
    text = str(client.get(keys.REPORTS_REFUSED_COUNT) or "0")
    return int(text) if text.isascii() and text.isdecimal() else 0


def _parse(row: Any) -> tuple[Report, list[str]]:
    """Return (report, names of its unknown fields); raises ValueError."""
    if not isinstance(row, dict):
        raise ValueError("not an object")
    values: dict[str, Any] = dict(row)
    kind = values.pop("kind", None)
    cls = _KINDS.get(kind) if isinstance(kind, str) else None
    if cls is None:
        raise ValueError("unknown kind")
    hints = typing.get_type_hints(cls)
    known: dict[str, Any] = {}
    for it in fields(cls):
        if it.name in values:
            known[it.name] = _value(it.name, hints[it.name], values.pop(it.name))
    try:
        return cls(**known), sorted(str(name) for name in values)
    except TypeError:
        raise ValueError("a field is missing") from None


def _value(name: str, wanted: Any, value: Any) -> Any:
    """Return a field's value as its type; raises ValueError for another one."""
    if wanted is int:
        if type(value) is int and 0 <= value < _INT_LIMIT:
            return value
    elif wanted is str:
        if isinstance(value, str) and len(value) <= _TEXT_LIMIT and _is_storable(value):
            return value
    elif isinstance(wanted, types.GenericAlias):  # a tuple of ids
        if isinstance(value, list):
            return tuple(_value(name, int, it) for it in value)
    elif isinstance(value, str):
        try:
            return wanted(value)
        except ValueError:
            pass
    raise ValueError(f"field {name} has a wrong value")


def _is_storable(text: str) -> bool:
    """Return whether Redis, SQL and a log can take a text.

    JSON may hold half a surrogate pair, which has no UTF-8 form, and NUL, which
    PostgreSQL refuses.
    """
    return "\0" not in text and not any("\ud800" <= it <= "\udfff" for it in text)


def _entry_id(text: str) -> tuple[int, int]:
    """Return a stream entry's id as numbers."""
    milliseconds, _, sequence = text.partition("-")
    return int(milliseconds), int(sequence or "0")


def _refused(entry: str, reason: str, text: str) -> Refused:
    shown = text[:_REFUSED_TEXT_LIMIT].encode("utf-8", "backslashreplace").decode()
    return Refused(entry, reason, shown)


def _shown(row: Any) -> str:
    return json.dumps(row, separators=(",", ":"))


def _read_replacing(client: redis.Redis, after: str, limit: int) -> list[Any]:
    """Return what follows an entry, with what is not UTF-8 replaced: it is refused then."""
    raw: Any = client.execute_command(  # type: ignore[no-untyped-call]
        "XRANGE", keys.REPORTS, f"({after}", "+", "COUNT", limit, NEVER_DECODE=[]
    )
    return [
        (
            entry.decode(),
            {k.decode(errors="replace"): v.decode(errors="replace") for k, v in values.items()},
        )
        for entry, values in raw
    ]


def _entries(answer: Any) -> list[Any]:
    """Return one stream's entries; RESP 3 answers a mapping, RESP 2 a list."""
    if not answer:
        return []
    if isinstance(answer, dict):
        return list(next(iter(answer.values()))[0])
    return list(answer[0][1])
