from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from afx.forwarding.pipeline import Incoming, deliveries, random_id
from afx.forwarding.rules import ResolvedRule, Route, compile_routes, loops

ids = st.integers(-(2**62), 2**62)


@given(ids, ids, ids, ids)
def test_a_replay_has_the_same_random_id(rule: int, source: int, message: int, to: int) -> None:
    made = random_id(rule, source, message, to)
    assert made == random_id(rule, source, message, to)
    assert -(2**63) <= made < 2**63
    assert made != 0


def test_deliveries_that_differ_in_anything_have_different_random_ids() -> None:
    made = {
        random_id(*it)
        for it in ((1, 2, 3, 4), (2, 2, 3, 4), (1, 3, 3, 4), (1, 2, 4, 4), (1, 2, 3, 5))
    }
    assert len(made) == 5


def test_routes_are_found_by_source() -> None:
    table = compile_routes(
        [ResolvedRule(1, (-1, -2), (-3,), "copy"), ResolvedRule(2, (-1,), (-3, -4), "forward")]
    )
    assert table == {
        -1: (Route(1, -3, "copy"), Route(2, -3, "forward"), Route(2, -4, "forward")),
        -2: (Route(1, -3, "copy"),),
    }


def test_a_chat_is_never_forwarded_to_itself() -> None:
    assert compile_routes([ResolvedRule(1, (-1,), (-1,), "copy")]) == {}


def test_a_chat_named_twice_in_a_rule_counts_once() -> None:
    assert compile_routes([ResolvedRule(1, (-1, -1), (-2, -2), "copy")]) == {
        -1: (Route(1, -2, "copy"),)
    }


def test_chats_that_are_source_and_destination_are_found() -> None:
    table = compile_routes(
        [ResolvedRule(1, (-1,), (-2,), "copy"), ResolvedRule(2, (-2,), (-1,), "copy")]
    )
    assert loops(table) == {-1, -2}


def test_a_message_with_media_is_forwarded_natively_in_copy_mode_too() -> None:
    made = deliveries(Incoming(-1, 5, "caption", (), True), (Route(1, -2, "copy"),))
    assert [it.needs_native_forward for it in made] == [True]
