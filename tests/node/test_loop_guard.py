"""The loop guard knows a session's own copies, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

from afx.forwarding.digests import digest_id
from afx.forwarding.pipeline import Incoming, Part, random_id
from afx.forwarding.rules import ResolvedRule, compile_routes
from afx.node.loop_guard import LoopGuard
from afx.node.references import Reference

A, B, OTHER, FAR = -1001, -1002, -1003, -1004


def guard(
    settled: int = 0, waiting: Sequence[Reference] = (), later: Sequence[Reference] = ()
) -> LoopGuard:
    """One rule each for a → b and b → a, and an unrelated one."""
    routes = compile_routes(
        [
            ResolvedRule(1, (A,), (B,), "copy"),
            ResolvedRule(2, (B,), (A,), "copy"),
            ResolvedRule(3, (OTHER,), (FAR,), "copy"),
        ]
    )
    stored = [lambda chat, them=them: them if chat == B else () for them in (waiting, later)]
    return LoopGuard(routes, lambda _: settled, *stored)


def message(chat: int, message_id: int) -> Incoming:
    return Incoming(chat, message_id, "text", (), False)


def test_a_copy_is_known_by_its_chat_and_its_id() -> None:
    it = guard()
    it.note_copy(B, 7)
    assert it.is_copy(message(B, 7))
    assert not it.is_copy(message(B, 8))
    assert not it.is_copy(message(A, 7))


def test_a_message_of_another_chat_with_the_id_of_an_unanswered_send_is_no_copy() -> None:
    it = guard()
    it.announce(random_id(1, A, 5, B), 7)
    assert not it.is_copy(message(OTHER, 7))
    assert not it.is_copy(message(A, 7))
    assert it.is_copy(message(B, 7))


def test_an_unanswered_send_is_found_after_the_last_settled_message() -> None:
    it = guard(settled=900)
    it.announce(random_id(2, B, 1_500, A), 33)
    assert it.is_copy(message(A, 33))


def test_an_unanswered_send_is_found_in_the_outbox_that_let_the_cursor_pass_it() -> None:
    it = guard(settled=9_000, waiting=[Reference(1, "copy", A, 7), Reference(1, "copy", A, 8)])
    it.announce(random_id(1, A, 8, B), 33)
    assert it.is_copy(message(B, 33))
    assert not it.is_copy(message(A, 33))


def test_an_unanswered_send_is_found_among_what_is_not_due_yet() -> None:
    later = [Reference(1, "copy", A, 8)]
    it = guard(settled=9_000, later=later)
    it.announce(random_id(1, A, 8, B), 33)
    assert it.is_copy(message(B, 33))


def test_an_unanswered_digest_is_found_by_all_of_its_messages() -> None:
    parts: list[Part] = ["first", "rest", "rest", "first", "entry"]
    waiting = [Reference(1, "copy", A, 7 + it, part=part) for it, part in enumerate(parts)]
    it = guard(settled=9_000, waiting=waiting)
    it.announce(digest_id(1, B, [(A, 7), (A, 8), (A, 9)]), 33)
    it.announce(digest_id(1, B, [(A, 10)]), 34)
    it.announce(digest_id(1, B, [(A, 11)]), 35)
    assert [it.is_copy(message(B, number)) for number in (33, 34, 35)] == [True, True, False]


def test_an_announced_send_of_no_rule_marks_nothing() -> None:
    it = guard()
    it.announce(12345, 7)
    assert not any(it.is_copy(message(chat, 7)) for chat in (A, B, OTHER))


def test_old_copies_are_forgotten() -> None:
    it = guard()
    for number in range(30_000):
        it.note_copy(B, number)
    assert len(it._copies) == 20_000
    assert it.is_copy(message(B, 29_999))


def test_announced_sends_that_no_message_follows_are_bounded() -> None:
    it = guard()
    for number in range(10_000):
        it.announce(number, number)
    assert len(it._announced) <= 4_000
