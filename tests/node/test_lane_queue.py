"""A change is made in what its lane still holds, if it cannot have been sent."""

from __future__ import annotations

import time

import pytest

from afx.forwarding.look import Look
from afx.forwarding.pipeline import Delivery, Op
from afx.node.lane_queue import LaneQueue
from afx.node.outbox import Outbox
from afx.node.references import Reference
from afx.telegram.boxes import Box, Ticket

SOURCE, TO = -1_000_000_000_005, -1_000_000_000_006


def change(message: int, op: Op = "send", text: str = "", rule: int = 1) -> Delivery:
    made = Reference(rule, "copy", SOURCE, message, op=op).delivery(TO)
    made.text = text
    return made


def queue(*deliveries: Delivery, begun: int = 0, pts: int = 5) -> LaneQueue:
    made = LaneQueue()
    for it in deliveries:
        made.append(it, Ticket(pts, 1, Box(0, 0, 0)))
    made.begin(begun)
    return made


def held(made: LaneQueue) -> list[Delivery]:
    return [it for it, _ in made.entries()]


def test_an_edit_changes_what_is_to_be_sent_and_a_delete_takes_it_out() -> None:
    it = queue(change(1), change(2, text="old"), change(2, rule=2), begun=1)
    assert it.fold(change(2, "edit", "new")) == []
    gone = it.fold(change(2, "delete"))
    assert gone and [(sent.message, sent.text) for sent, _ in gone] == [(2, "new")]
    assert len(it) == 2 and [(sent.message, sent.rule) for sent, _ in it.next_batch(9, 0.0)[0]] == [
        (1, 1),
        (2, 2),
    ]
    assert it.pop()[0].message == 1 and it.pop()[0].rule == 2
    assert not it
    with pytest.raises(IndexError):
        it.pop()


@pytest.mark.parametrize("op", ["send", "edit"])
def test_an_edit_also_changes_how_what_waits_is_shown_and_its_buttons(op: Op) -> None:
    waiting, new = change(2, op, "old"), change(2, "edit", "new")
    waiting.buttons = ((("old", "https://example.org/old"),),)
    new.look, new.buttons = Look.NO_PREVIEW, ((("new", "https://example.org/new"),),)
    it = queue(change(1, op), waiting, begun=1)
    assert it.fold(new) == []
    found = held(it)[1]
    assert (found.op, found.look, found.buttons) == (op, new.look, new.buttons)


def test_a_folded_edit_leaves_a_silent_message_silent() -> None:
    waiting, new = change(2), change(2, "edit", "new")
    waiting.look = new.look = Look.SILENT
    it = queue(change(1), waiting, begun=1)
    it.fold(new)
    assert held(it)[1].look is Look.SILENT


def test_what_may_have_been_sent_is_not_touched() -> None:
    it = queue(change(1, text="old"), change(2), begun=1)
    for op in ("edit", "delete"):
        assert it.fold(change(1, op, "new")) is None
    assert [sent.text for sent in held(it)] == ["old", ""]


def test_a_refused_batch_tells_nothing_of_what_an_earlier_larger_one_may_have_sent() -> None:
    box = Outbox(TO)
    it, tickets = LaneQueue(), [Ticket(0, 1, box) for _ in range(4)]
    for ticket in tickets:
        it.append(change(len(it) + 1), ticket)
    it.begin(3)  # its answer is lost
    it.begin(1)
    it.note_refused(1)
    assert it.recall(tickets) == tickets[:3]
    it.begin(3)
    it.note_refused(3)
    assert it.recall(tickets[:3]) == tickets[:3]


def test_what_a_difference_has_brought_may_have_been_sent_by_an_earlier_run() -> None:
    it = queue(change(1), change(2, text="old"), pts=0)
    for op in ("edit", "delete"):
        assert it.fold(change(2, op, "new")) is None
    assert [sent.text for sent in held(it)] == ["", "old"]


def test_the_last_of_several_edits_counts_and_is_one_request() -> None:
    it = queue(change(1), change(1, "edit", "a"), change(1, "pin"), begun=1)
    assert it.fold(change(1, "edit", "b")) == []
    assert it.fold(change(1, "delete")) is None, "its copy may be there"
    assert it.fold(change(1, "unpin")) is None
    assert [(sent.op, sent.text) for sent in held(it)] == [("send", ""), ("edit", "b"), ("pin", "")]
    assert queue(change(1), change(1, "delete")).fold(change(1, "edit")) is None


def test_an_edit_that_its_transforms_refuse_changes_nothing_that_waits() -> None:
    wrong = change(1, "edit")
    wrong.error = "its transforms failed"
    assert queue(change(1)).fold(wrong) is None
    it = queue(change(1), wrong, begun=1)
    assert it.fold(change(1, "edit", "right")) == []
    assert [(sent.text, sent.error) for sent in held(it)][1] == ("right", "")


def test_a_batch_is_of_sends_or_of_changes() -> None:
    it = queue(change(1), change(2), change(1, "edit"), change(2, "pin"), change(3))
    assert [sent.message for sent, _ in it.next_batch(9, 0.0)[0]] == [1, 2]
    it.pop()
    it.pop()
    assert [sent.op for sent, _ in it.next_batch(9, 0.0)[0]] == ["edit", "pin"]
    assert len(it.next_batch(1, 0.0)[0]) == 1


def test_what_comes_and_leaves_after_the_first_change_is_found_as_well() -> None:
    it = queue(change(1), change(2))
    assert it.fold(change(9, "edit")) is None
    it.append(change(3, text="old"), Ticket(5, 1, Box(0, 0, 0)))
    assert it.fold(change(3, "edit", "new")) == []
    assert it.pop()[0].message == 1
    assert it.fold(change(1, "edit")) is None
    assert [sent.text for sent in held(it)] == ["", "new"]
    it.keep_first([])
    assert it.fold(change(3, "edit")) is None


def test_what_is_taken_out_leaves_no_memory_behind() -> None:
    it = queue(change(1), begun=1)
    for number in range(2, 1_000):
        it.append(change(number), Ticket(5, 1, Box(0, 0, 0)))
        assert it.fold(change(number, "delete"))
    assert len(it._held) < 100 and len(it) == 1


def test_a_change_costs_the_same_however_much_the_lane_holds() -> None:
    """A look through the whole queue per change took a second for these."""
    it = queue(*(change(number) for number in range(1, 20_001)), begun=50)
    it.fold(change(0, "edit"))
    begun = time.process_time()
    for number in range(100, 1_100):
        assert it.fold(change(number, "delete"))
    assert time.process_time() - begun < 2
    assert len(it) == 19_000


def test_what_a_rule_that_is_gone_has_surely_not_sent_is_taken_out() -> None:
    them = [change(1), change(2), change(3, rule=2), change(4)]
    it = queue(*them, begun=3)
    it.begin(1)
    it.note_refused(1)  # the second time; the first may have sent it
    assert [gone.message for gone, _ in it.take_out({2})] == [4]
    it.note_refused(2)
    assert [gone.message for gone, _ in it.take_out({2})] == [1, 2]
    assert held(it) == [them[2]]
