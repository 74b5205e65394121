from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from afx.telegram.boxes import Box, Ticket


def test_an_update_is_applied_skipped_or_a_gap_by_its_position() -> None:
    box = Box(1, 10, 10)
    assert (box.check(11, 1), box.check(10, 1), box.check(13, 1)) == ("next", "old", "gap")


@given(st.data(), st.lists(st.integers(0, 3), min_size=1, max_size=30))
def test_the_cursor_never_passes_an_open_message(data: st.DataObject, fans: list[int]) -> None:
    """Whatever the order in which forwards settle."""
    box = Box(1, 0, 0)
    tickets = [box.admit(number, fan, 5, number) for number, fan in enumerate(fans, 1)]
    open_forwards = [ticket for ticket in tickets for _ in range(ticket.open)]
    for ticket in data.draw(st.permutations(open_forwards)):
        ticket.open -= 1
        box.advance()
        still_open = [it.pts for it in tickets if it.open]
        assert box.cursor < min(still_open, default=len(fans) + 1)
    box.advance()
    assert box.cursor == len(fans)
    assert box.last_ids == {5: len(fans)}


def test_a_slice_moves_the_cursor_only_at_its_end() -> None:
    box = Box(1, 100, 100)
    first = box.admit(0, 1, 5, 1)
    box.admit(0, 0, 5, 2)
    box.admit(150, 0)
    assert not box.advance()
    assert box.cursor == 100
    first.open = 0
    assert box.advance()
    assert (box.cursor, box.last_ids) == (150, {5: 2})


def test_a_ticket_knows_its_box() -> None:
    box = Box(1, 0, 0)
    ticket: Ticket = box.admit(1, 1)
    assert ticket.box is box


@given(
    st.lists(st.tuples(st.integers(0, 1), st.booleans(), st.integers(0, 2)), max_size=20),
    st.randoms(use_true_random=False),
)
def test_an_update_without_forwards_leaves_as_if_it_had_been_admitted(
    updates: list[tuple[int, bool, int]], rng: random.Random
) -> None:
    left, admitted = Box(1, 0, 0), Box(1, 0, 0)
    open_tickets: list[tuple[Ticket, Ticket]] = []
    pts = 0
    for number, (forwards, is_slice, message) in enumerate(updates, 1):
        pts = number
        at = 0 if is_slice else pts
        if forwards:
            open_tickets.append((left.admit(at, 1, 5, number), admitted.admit(at, 1, 5, number)))
        else:
            of = message and (number if message == 1 else 1)
            admitted.admit(at, 0, 5, of)
            assert left.leave(at, 5, of) == admitted.advance()
        if open_tickets and rng.random() < 0.5:
            for it in open_tickets.pop(rng.randrange(len(open_tickets))):
                it.open = 0
            assert left.advance() == admitted.advance()
        assert (left.pts, left.cursor) == (admitted.pts, admitted.cursor)
        assert left.last_ids == admitted.last_ids
