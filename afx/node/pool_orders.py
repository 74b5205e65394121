"""What the owner of a pool's lane asks a sender for, and what the sender answers, as texts.

An order has the text and the entities of each message. A file is named by its message only: the
sender reads that itself, since references to files are the account's own
(core.telegram.org/api/file-references).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from telethon.extensions import BinaryReader
from telethon.tl import types
from telethon.tl.tlobject import TLObject

from afx.cluster.fields import INT32_LIMIT
from afx.forwarding.look import Look
from afx.forwarding.pipeline import Delivery, Op
from afx.reasons import DeadReason
from afx.telegram.change_sender import WITH_FILE
from afx.telegram.facts import media_kind
from afx.telegram.sender import Outcome, Result, is_forward

_LIMIT = 4 * 1024 * 1024
_MOST_ITEMS = 200
_MOST_ENTITIES = 1_000
_OPS = frozenset(get_args(Op))
_RESULTS = frozenset(get_args(Result))
UNFIT = "UNFIT: "
"""How the reason of what another sender may be able to send begins."""


class MalformedOrderError(Exception):
    """A text is no order, or no answer."""


@dataclass(slots=True, frozen=True)
class Order:
    """Deliveries of one rule to one destination, for one sender."""

    sender: int
    rule: int
    destination: int
    fence: int
    sequence: int
    singly: bool
    """Each forward is to be a request of its own."""
    deliveries: tuple[Delivery, ...]
    files: frozenset[int]
    """Places of deliveries whose message the sender has to read, for its file."""

    @property
    def ids(self) -> list[int]:
        """The random_ids of its sends."""
        return [it.random_id for it in self.deliveries if it.op == "send"]


def order_of(
    batch: Sequence[Delivery], sender: int, fence: int, sequence: int, *, singly: bool
) -> Order:
    """Return the order for a batch of one rule."""
    first = batch[0]
    return Order(
        sender,
        first.rule,
        first.destination,
        fence,
        sequence,
        singly,
        tuple(batch),
        frozenset(place for place, it in enumerate(batch) if _has_file(it)),
    )


def settled_ids(order: Order, outcomes: Sequence[Outcome], doubts: frozenset[int]) -> list[int]:
    """Return the random_ids of an order that are in doubt no more.

    One that was in doubt before stays so when it was not made now: it may have been before.
    """
    return [
        it.random_id
        for it, its in zip(order.deliveries, outcomes, strict=True)
        if it.op == "send"
        and (
            its.result in ("sent", "known", "refused")
            or (its.result in ("wait", "again") and it.random_id not in doubts)
        )
    ]


def _has_file(it: Delivery) -> bool:
    if it.op == "edit":
        return media_kind(it.whole) in WITH_FILE
    return it.op == "send" and it.raw is not None and not is_forward(it)


def encode(order: Order) -> str:
    """Return an order as text."""
    items = [_item(it, place in order.files) for place, it in enumerate(order.deliveries)]
    head = {
        "sender": order.sender,
        "rule": order.rule,
        "destination": order.destination,
        "fence": order.fence,
        "sequence": order.sequence,
        "singly": order.singly,
    }
    return json.dumps({**head, "items": items}, separators=(",", ":"))


def _item(it: Delivery, has_file: bool) -> dict[str, Any]:
    return {
        "op": it.op,
        "mode": it.mode,
        "source": it.source,
        "message": it.message,
        "id": it.random_id,
        "text": it.text,
        "entities": [base64.b64encode(bytes(entity)).decode() for entity in it.entities],
        "native": it.needs_native_forward,
        "album": it.album,
        "parent": it.parent,
        "copy": it.copy,
        "error": it.error,
        "look": int(it.look),
        "topic": it.topic,
        "file": has_file,
    }


def decode(text: str) -> Order:
    """Return the order in a text; raises MalformedOrderError."""
    fields = _object(text)
    try:
        items = fields["items"]
        if not isinstance(items, list) or not 0 < len(items) <= _MOST_ITEMS:
            raise ValueError("no items")
        rule, destination = _number(fields["rule"]), _number(fields["destination"])
        return Order(
            _number(fields["sender"]),
            rule,
            destination,
            _number(fields["fence"]),
            _number(fields["sequence"]),
            fields["singly"] is True,
            tuple(_delivery(it, rule, destination) for it in items),
            frozenset(place for place, it in enumerate(items) if it["file"] is True),
        )
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise MalformedOrderError(f"{type(error).__name__}: {error}") from error


def _delivery(fields: Mapping[str, Any], rule: int, destination: int) -> Delivery:
    if fields["op"] not in _OPS or fields["mode"] not in ("copy", "forward"):
        raise ValueError("an unknown op or mode")
    entities = fields["entities"]
    if not isinstance(entities, list) or len(entities) > _MOST_ENTITIES:
        raise ValueError("no entities")
    return Delivery(
        rule,
        fields["mode"],
        _number(fields["source"]),
        _id(fields["message"]),
        destination,
        _number(fields["id"]),
        _text(fields["text"]),
        tuple(map(_entity, entities)),
        fields["native"] is True,
        album=_number(fields["album"]),
        parent=_id(fields["parent"]),
        copy=_id(fields["copy"]),
        error=_text(fields["error"]),
        op=fields["op"],
        look=Look(_number(fields["look"])),
        topic=_id(fields["topic"]),
    )


def _entity(text: Any) -> TLObject:
    with BinaryReader(base64.b64decode(_text(text), validate=True)) as reader:
        try:
            entity = reader.tgread_object()
        except Exception as error:  # Telethon raises many kinds
            raise ValueError("no entity") from error
    if not isinstance(entity, TLObject) or entity.SUBCLASS_OF_ID != _ENTITIES:
        raise ValueError("no entity")
    return entity


_ENTITIES = types.MessageEntityBold.SUBCLASS_OF_ID


def encode_answer(outcomes: Sequence[Outcome], doubts: Sequence[int]) -> str:
    """Return the outcomes of an order's deliveries as text.

    ``doubts`` are the random_ids of those that may have been sent all the same.
    """
    rows = [
        [it.result, it.copy, it.seconds, it.reason[:200], it.whole_account, it.dead, it.is_earlier]
        for it in outcomes
    ]
    return json.dumps({"outcomes": rows, "doubts": list(doubts)}, separators=(",", ":"))


def decode_answer(text: str, count: int) -> tuple[list[Outcome], list[int]]:
    """Return the outcomes of so many deliveries, and the random_ids that are in doubt.

    Raises MalformedOrderError.
    """
    fields = _object(text)
    try:
        rows = fields["outcomes"]
        if not isinstance(rows, list) or len(rows) != count:
            raise ValueError("another number of outcomes")
        doubts = fields["doubts"]
        if not isinstance(doubts, list) or len(doubts) > count:
            raise ValueError("no doubts")
        return [_outcome(*it) for it in rows], [_number(it) for it in doubts]
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise MalformedOrderError(f"{type(error).__name__}: {error}") from error


def _outcome(
    result: Any, copy: Any, seconds: Any, reason: Any, whole: Any, dead: Any, earlier: Any
) -> Outcome:
    if result not in _RESULTS or not 0 <= float(seconds) < 1e9:
        raise ValueError("an unknown result")
    return Outcome(
        result,
        _id(copy),
        float(seconds),
        _text(reason),
        whole is True,
        None if dead is None else DeadReason(dead),
        is_earlier=earlier is True,
    )


def _object(text: str) -> Mapping[str, Any]:
    if len(text) > _LIMIT:
        raise MalformedOrderError("it is too long")
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MalformedOrderError("it is no JSON") from error
    if not isinstance(fields, dict):
        raise MalformedOrderError("it is no object")
    return fields


def _number(value: Any) -> int:
    if type(value) is not int or abs(value) > 2**63:
        raise ValueError("no whole number")
    return value


def _id(value: Any) -> int:
    number = _number(value)
    if not 0 <= number < INT32_LIMIT:
        raise ValueError("no id of a message")
    return number


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("no text")
    return value
