"""What a change of a source causes, and how it waits in an outbox."""

from __future__ import annotations

from afx.forwarding.changes import Change
from afx.forwarding.pipeline import Delivery, Incoming, Op
from afx.forwarding.rules import Route
from afx.node.followed import edit_of, followed
from afx.node.outbox import Outbox
from afx.node.references import Reference, decode, encode

CHANNEL, GROUP, FRIEND, TO = -1_000_000_000_005, -5, 7, -1_000_000_000_006


def change(message: int, op: Op = "send", text: str = "", rule: int = 1) -> Delivery:
    made = Reference(rule, "copy", CHANNEL, message, op=op).delivery(TO)
    made.text = text
    return made


def test_a_deletion_without_a_chat_is_looked_for_outside_channels() -> None:
    routes = {
        it: (Route(1, TO, "copy", sync=("deletes",)), Route(2, TO, "copy", sync=("edits",)))
        for it in (CHANNEL, GROUP, FRIEND)
    }
    found = followed(routes, Change("delete", 0, (3, 4)))
    assert set(found) == {GROUP, FRIEND}
    assert [(it.rule, it.message, it.op) for it in found[GROUP]] == [
        (1, 3, "delete"),
        (1, 4, "delete"),
    ]
    assert not followed(routes, Change("pin", CHANNEL, (3,)))
    assert not followed(routes, Change("delete", -9, (3,)))


def test_an_edit_has_the_text_that_the_rule_makes_of_it() -> None:
    made = edit_of(Incoming(CHANNEL, 3, "text", (), False), Route(1, TO, "copy"))
    assert made and (made.op, made.message, made.text) == ("edit", 3, "text")


def test_changes_are_stored_and_read_back_as_they_were() -> None:
    ops: list[Op] = ["send", "edit", "edit", "delete", "pin", "unpin", "send"]
    references = [Reference(7, "copy", -5, number, op=op) for number, op in enumerate(ops, 1)]
    text = encode(references)
    assert text == "7:c:-5:1;7:e:-5:2-3;7:d:-5:4;7:p:-5:5;7:u:-5:6;7:c:-5:7"
    assert decode(text) == references


def test_an_outbox_keeps_one_edit_of_a_message_unless_it_is_being_made() -> None:
    outbox = Outbox(TO)
    for op in ("send", "edit", "delete", "pin"):
        it = change(1, op)
        assert not outbox.contains(it)
        outbox.append(it)
    assert [outbox.contains(change(1, op)) for op in ("send", "edit", "delete")] == [True] * 3
    outbox.first(2)
    assert not outbox.contains(change(1, "edit")), "it is being read, as it was before"
    assert outbox.contains(change(1, "delete")), "it is not"
    outbox.reading = 0
    assert outbox.contains(change(1, "edit")), "it could not be read"
    assert not outbox.contains(change(1, "pin")), "pins and unpins end as the last one says"
    assert not outbox.contains(change(1, "unpin"))
    assert not outbox.contains(change(1, "edit", rule=2))
    for ticket in outbox.begin(1):
        ticket.open = 0
    outbox.advance()
    assert [outbox.contains(change(1, op)) for op in ("send", "edit")] == [False, True]
    tickets = outbox.begin(2)
    assert not outbox.contains(change(1, "edit")), "its content may have been read already"
    for ticket in tickets:
        ticket.open = 0
    outbox.advance()
    assert outbox.count == 1 and list(outbox.references()) == [
        Reference(1, "copy", CHANNEL, 1, op="pin")
    ]
