"""Which posts are the copies that an account may have made."""

from __future__ import annotations

import pytest

from afx.forwarding.lost_copies import Look, Post, Verdict, judge

A, B, PHOTO = Look("text", "a"), Look("text", "b"), Look("photo", "a")
FORWARD = Look("", "", (-100, 7))


def posts(*looks: Look) -> list[Post]:
    return [Post(it, look) for it, look in enumerate(looks, 10)]


def test_posts_of_the_same_content_are_found_in_their_order() -> None:
    assert judge([A, B], posts(A, B)) == [Verdict(10), Verdict(11)]
    assert judge([A, A], posts(A, A)) == [Verdict(10), Verdict(11)]
    assert judge([PHOTO], posts(A, PHOTO)) == [Verdict(11)]


def test_a_forward_is_known_by_what_was_forwarded() -> None:
    post = Look("photo", "anything", (-100, 7))
    assert judge([FORWARD], posts(A, post)) == [Verdict(11)]
    assert judge([FORWARD], posts(Look("text", "", (-100, 8)))) == [Verdict()]


def test_what_is_not_there_was_not_sent_where_all_posts_are_known() -> None:
    assert judge([A, B], posts(A)) == [Verdict(10), Verdict()]
    assert judge([A], posts(PHOTO)) == [Verdict()], "a photo is not the text"
    assert judge([A], []) == [Verdict()]


@pytest.mark.parametrize(
    ("wanted", "found", "missing"),
    [
        ([A], (A, A), ""),
        ([A, A], (A,), ""),
        ([A], (Look("text", "a, in other words"),), ""),
        ([A], (), "one was deleted"),
        ([None], (PHOTO,), ""),
        ([Look("", "x")], (PHOTO,), ""),
        ([FORWARD], (A,), ""),
        ([FORWARD], (Look("text", "", (-200, 3)),), ""),  # of what its message was forwarded from
        ([FORWARD], (Look("text", "", (-100, 3)),), ""),
    ],
)
def test_all_else_is_unclear(
    wanted: list[Look | None], found: tuple[Look, ...], missing: str
) -> None:
    for it in judge(wanted, posts(*found), missing):
        assert not it.copy
        assert it.unclear


def test_posts_in_another_order_are_unclear() -> None:
    assert all(it.unclear for it in judge([A, B], posts(B, A)))


def test_what_is_found_is_clear_though_another_one_is_not() -> None:
    found, other = judge([A, B], posts(A), "one was deleted")
    assert found == Verdict(10)
    assert other.unclear == "one was deleted"


def test_what_cannot_be_recognised_was_not_sent_where_nothing_was() -> None:
    assert judge([None], []) == [Verdict()]
