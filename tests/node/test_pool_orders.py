"""What owners of pools' lanes and senders say to each other, as texts."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import replace
from typing import Any

import pytest
from telethon.tl import types

from afx.forwarding.look import Look
from afx.forwarding.pipeline import Delivery
from afx.node.pool_answers import decode_answer, encode_answer, encode_unread, settled_ids
from afx.node.pool_orders import UNFIT, decode, encode, order_of, search_of
from afx.node.pool_sought import Sought
from afx.node.pool_texts import MalformedOrderError
from afx.reasons import DeadReason
from afx.telegram.sender import Outcome

TEXT = Delivery(
    7, "copy", -5, 3, -6, -(2**63), "héllo 🙂", (types.MessageEntityBold(0, 5),), False, parent=4
)
FILE = replace(TEXT, message=4, random_id=2, raw=object(), album=2**62)
BUTTONS = replace(TEXT, topic=7, buttons=((("Buy 🛒", "https://a.example/"),),))
FORWARD = replace(TEXT, mode="forward", needs_native_forward=True, raw=object())
DELETE = replace(TEXT, op="delete", copy=9, error="wrong")


def fields(it: Delivery) -> tuple[Any, ...]:
    entities = [entity.to_dict() for entity in it.entities]
    return (
        *(it.rule, it.mode, it.source, it.message, it.destination, it.random_id, it.text),
        *(entities, it.needs_native_forward, it.album, it.parent, it.op, it.copy, it.error),
        *(it.topic, it.buttons),
    )


def test_an_order_is_the_same_when_it_is_read() -> None:
    order = order_of([TEXT, FILE, FORWARD, DELETE, BUTTONS], 11, 2, 3, singly=True)
    found = decode(encode(order))
    assert [fields(it) for it in found.deliveries] == [fields(it) for it in order.deliveries]
    assert found.files == {1}, "only a file that is sent by reference is read"
    assert (found.sender, found.fence, found.sequence, found.singly) == (11, 2, 3, True)
    assert found.ids == order.ids == [-(2**63), 2, -(2**63), -(2**63)]


def test_what_is_to_be_found_is_no_send_also_for_nodes_that_do_not_know_it() -> None:
    sought = Sought(12, 4, 1_700_000_000, 1_700_000_009, 3, ("text", "photo"))
    order = search_of([TEXT, FILE], 11, 2, 3, sought)
    found = decode(encode(order))
    assert (found.sought, found.sender, found.ids, found.messages) == (sought, 11, [], {})
    assert [fields(it) for it in found.deliveries] == [fields(it) for it in order.deliveries]
    items = json.loads(encode(order))["items"]
    assert {it["op"] for it in items} == {"find"}, "an older node refuses the op"
    broken = json.loads(encode(order))
    del broken["sought"]
    with pytest.raises(MalformedOrderError):
        decode(json.dumps(broken))
    mixed = json.loads(encode(order))
    mixed["items"][0]["op"] = "send"
    with pytest.raises(MalformedOrderError):
        decode(json.dumps(mixed))


LEFT_OUT = {
    "raw": "the sender reads the file itself",
    "whole": "so it does for an edit",
    "answers": "the owner has found the copy that it answers, its parent",
    "unjudged": "the owner has judged it",
    "posted": "the owner alone waits for a message's time",
    "plugins": "the owner has run them",
    "verdict": "so they have none any more",
    "reupload": "a rule with senders uploads no files anew",
    "uploaded": "so there is none",
    "made": "a rule with senders gives its plug-ins no files",
    "part": "a rule with senders has no digests",
    "version": "outputs alone tell by it",
    "topics": "the owner has found the topic that it goes to",
    "source_topic": "so it has",
    "beside": "a rule with senders has no digests",
    "parts": "so there is none; what is left of an earlier one the owner sends",
}
"""Fields of a delivery that no order has, and why."""
EXAMPLES: dict[str, Any] = {
    "mode": "forward",
    "entities": (types.MessageEntityBold(0, 5),),
    "needs_native_forward": True,
    "op": "pin",
    "look": Look.SILENT,
    "buttons": ((("Buy", "https://a.example/"),),),
    **dict.fromkeys(("text", "error"), "some text"),
    **dict.fromkeys(("rule", "source", "message", "destination", "random_id"), 71),
    **dict.fromkeys(("album", "parent", "copy", "topic"), 72),
}


@pytest.mark.parametrize("name", [it.name for it in dataclasses.fields(Delivery)])
def test_an_order_has_each_field_of_a_delivery_that_its_sender_needs(name: str) -> None:
    if name in LEFT_OUT:
        return
    assert name in EXAMPLES, "put it into pool_orders.py, or say why it is left out"
    plain = Delivery(1, "copy", 2, 3, 4, 5, "", (), False)
    changed = replace(plain, **{name: EXAMPLES[name]})
    assert getattr(changed, name) != getattr(plain, name)
    [found] = decode(encode(order_of([changed], 11, 2, 3, singly=False))).deliveries
    assert getattr(found, name) == getattr(changed, name)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("op", "buy"),
        ("mode", "x"),
        ("message", 2**31),
        ("message", True),
        ("id", "3"),
        ("text", None),
        ("entities", ["!"]),
        ("entities", ["AAAA"]),
        ("entities", ["xLnRbQ=="]),
        ("copy", -1),
        ("buttons", [[["label", 5]]]),
        ("buttons", [[]]),
        ("buttons", ["label"]),
        ("buttons", [[["label"]]]),
    ],
)
def test_an_order_with_a_malformed_field_is_refused(name: str, value: Any) -> None:
    text = json.loads(encode(order_of([TEXT], 11, 2, 3, singly=False)))
    text["items"][0][name] = value
    with pytest.raises(MalformedOrderError):
        decode(json.dumps(text))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"items": []}', "[" * 100_000, "x" * 5_000_000])
def test_a_text_that_is_no_order_is_refused(text: str) -> None:
    with pytest.raises(MalformedOrderError):
        decode(text)
    with pytest.raises(MalformedOrderError):
        decode_answer(text, 1)


def test_an_answer_is_the_same_when_it_is_read() -> None:
    outcomes = [
        Outcome("sent", 5),
        Outcome("known", 6, is_earlier=True),
        Outcome("refused", reason="X", dead=DeadReason.MESSAGE_GONE),
        Outcome("wait", seconds=30.0, reason="FLOOD_WAIT", whole_account=True),
    ]
    assert decode_answer(encode_answer(outcomes, [-7]), 4) == (outcomes, [-7])
    with pytest.raises(MalformedOrderError):
        decode_answer(encode_answer(outcomes, []), 3)
    for wrong in (["bought", 0, 0, "", False, None, False], ["sent", 5, 0, "", False, "x", False]):
        with pytest.raises(MalformedOrderError):
            decode_answer(json.dumps({"outcomes": [wrong], "doubts": []}), 1)


def test_what_was_in_doubt_and_is_not_made_now_stays_in_doubt() -> None:
    sends = [replace(TEXT, random_id=it) for it in (1, 2, 3, 4, 5)]
    order = order_of(sends, 11, 2, 3, singly=False)
    outcomes = [
        *(Outcome("sent", 5), Outcome("wait"), Outcome("again"), Outcome("failed")),
        Outcome("refused"),
    ]
    assert settled_ids(order, outcomes, frozenset()) == [1, 2, 3, 5]
    assert settled_ids(order, outcomes, frozenset({1, 2, 5})) == [1, 3, 5]


def test_the_owner_of_an_order_that_cannot_be_read_asks_another_one() -> None:
    outcomes, doubts = decode_answer(encode_unread([3]), 2)
    assert [(it.result, it.seconds) for it in outcomes] == [("wait", 15.0)] * 2
    assert doubts == [3]


def test_what_was_in_doubt_stays_so_when_its_sender_may_not_post_any_more() -> None:
    sends = [replace(TEXT, random_id=it) for it in (1, 2)]
    order = order_of(sends, 11, 2, 3, singly=False)
    outcomes = [Outcome("refused", reason=f"{UNFIT}CHAT_WRITE_FORBIDDEN")] * 2
    assert settled_ids(order, outcomes, frozenset()) == [1, 2]
    assert settled_ids(order, outcomes, frozenset({1})) == [2], "another one would double it"
