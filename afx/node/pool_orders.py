"""What the owner of a pool's lane asks a sender for, and what the sender answers, as texts.

An order has the text and the entities of each message. A file is named by its message only: the
sender reads that itself, since references to files are the account's own
(core.telegram.org/api/file-references).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, get_args

from telethon.extensions import BinaryReader
from telethon.tl import types
from telethon.tl.tlobject import TLObject

from afx.forwarding.buttons import Rows
from afx.forwarding.live import is_live
from afx.forwarding.look import Look
from afx.forwarding.pipeline import Delivery, Op
from afx.node.pool_sought import Sought, parse_sought
from afx.node.pool_texts import MalformedOrderError, fields_of, message_id, number, text
from afx.telegram.building import NotBuiltError, build
from afx.telegram.change_sender import WITH_FILE
from afx.telegram.facts import media_kind
from afx.telegram.sender import is_forward

_MOST_BUTTONS = 100
_MOST_ITEMS = 200
_MOST_ENTITIES = 1_000
_OPS = frozenset(get_args(Op))
UNFIT = "UNFIT: "
"""How the reason of what another sender may be able to send begins."""
_FIND = "find"
"""The op of what is to be found, and not to be sent: nodes that do not know it refuse it."""


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
    sought: Sought | None = None
    """They are to be looked for, and nothing is to be sent."""

    @property
    def ids(self) -> list[int]:
        """The random_ids of its sends."""
        if self.sought is not None:
            return []
        return [it.random_id for it in self.deliveries if it.op == "send"]

    @property
    def messages(self) -> dict[int, tuple[int, int]]:
        """The random_ids of its sends, with the source and the message of each."""
        sends = () if self.sought is not None else self.deliveries
        return {it.random_id: (it.source, it.message) for it in sends if it.op == "send"}


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


def search_of(
    batch: Sequence[Delivery], reader: int, fence: int, sequence: int, sought: Sought
) -> Order:
    """Return the order to look for a batch of one rule."""
    first = batch[0]
    nothing: frozenset[int] = frozenset()
    place = first.rule, first.destination
    return Order(reader, *place, fence, sequence, False, tuple(batch), nothing, sought)


def _has_file(it: Delivery) -> bool:
    if it.op == "edit":
        return media_kind(it.whole) in WITH_FILE or is_live(it.whole)
    return it.op == "send" and it.raw is not None and not is_forward(it)


def encode(order: Order) -> str:
    """Return an order as text."""
    items = [_item(it, place in order.files) for place, it in enumerate(order.deliveries)]
    sought = order.sought
    if sought is not None:
        items = [{**it, "op": _FIND} for it in items]
    head = {
        "sender": order.sender,
        "rule": order.rule,
        "destination": order.destination,
        "fence": order.fence,
        "sequence": order.sequence,
        "singly": order.singly,
        **({"sought": asdict(sought)} if sought is not None else {}),
    }
    return json.dumps({**head, "items": items}, separators=(",", ":"))


def first_unencoded(batch: Sequence[Delivery]) -> tuple[int, str]:
    """Return the place of the first delivery that no order can name, and why; -1 for none."""
    for place, it in enumerate(batch):
        try:
            build(lambda its: json.dumps(_item(its, False)), [it])
        except NotBuiltError as error:
            return place, str(error)
    return -1, ""


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
        "buttons": it.buttons,
        "file": has_file,
    }


def decode(order: str) -> Order:
    """Return the order in a text; raises MalformedOrderError."""
    fields = fields_of(order)
    try:
        items = fields["items"]
        if not isinstance(items, list) or not 0 < len(items) <= _MOST_ITEMS:
            raise ValueError("no items")
        rule, destination = number(fields["rule"]), number(fields["destination"])
        sought = parse_sought(fields["sought"], len(items)) if "sought" in fields else None
        if any((it["op"] == _FIND) is not (sought is not None) for it in items):
            raise ValueError("it is to find, and to send")
        return Order(
            number(fields["sender"]),
            rule,
            destination,
            number(fields["fence"]),
            number(fields["sequence"]),
            fields["singly"] is True,
            tuple(_delivery(it, rule, destination) for it in items),
            frozenset(place for place, it in enumerate(items) if it["file"] is True),
            sought,
        )
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise MalformedOrderError(f"{type(error).__name__}: {error}") from error


def _delivery(fields: Mapping[str, Any], rule: int, destination: int) -> Delivery:
    op: Any = "send" if fields["op"] == _FIND else fields["op"]
    if op not in _OPS or fields["mode"] not in ("copy", "forward"):
        raise ValueError("an unknown op or mode")
    entities = fields["entities"]
    if not isinstance(entities, list) or len(entities) > _MOST_ENTITIES:
        raise ValueError("no entities")
    return Delivery(
        rule,
        fields["mode"],
        number(fields["source"]),
        message_id(fields["message"]),
        destination,
        number(fields["id"]),
        text(fields["text"]),
        tuple(map(_entity, entities)),
        fields["native"] is True,
        album=number(fields["album"]),
        parent=message_id(fields["parent"]),
        copy=message_id(fields["copy"]),
        error=text(fields["error"]),
        op=op,
        look=Look(number(fields["look"])),
        topic=message_id(fields["topic"]),
        buttons=_buttons(fields.get("buttons", [])),
    )


def _buttons(rows: Any) -> Rows:
    if not isinstance(rows, list) or len(rows) > _MOST_BUTTONS:
        raise ValueError("no buttons")
    found = []
    for row in rows:
        if not isinstance(row, list) or not 0 < len(row) <= _MOST_BUTTONS:
            raise ValueError("no buttons")
        found.append(tuple((text(label), text(url)) for label, url in row))
    return tuple(found)


def _entity(value: Any) -> TLObject:
    with BinaryReader(base64.b64decode(text(value), validate=True)) as reader:
        try:
            entity = reader.tgread_object()
        except Exception as error:  # Telethon raises many kinds
            raise ValueError("no entity") from error
    if not isinstance(entity, TLObject) or entity.SUBCLASS_OF_ID != _ENTITIES:
        raise ValueError("no entity")
    return entity


_ENTITIES = types.MessageEntityBold.SUBCLASS_OF_ID
