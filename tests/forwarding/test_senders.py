"""Which sender of a pool sends next."""

from __future__ import annotations

import pytest

from afx.forwarding.options import compile_options
from afx.forwarding.senders import Choice, Held, choose

POOL = (1, 2, 3)


def held(**until: float) -> dict[int, Held]:
    return {int(name[1:]): Held(it, "it waits") for name, it in until.items()}


def test_the_last_sender_goes_on() -> None:
    assert choose(POOL, 0, {}, 0) == Choice(1)
    assert choose(POOL, 2, {}, 0) == Choice(2)
    assert choose(POOL, 9, {}, 0) == Choice(1), "it is in the pool no more"


def test_a_short_wait_is_waited_for_and_a_longer_one_is_not() -> None:
    assert choose(POOL, 2, held(s2=11.0), 10) == Choice(wait=1.0)
    assert choose(POOL, 2, held(s2=11.1), 10) == Choice(3)
    assert choose(POOL, 3, held(s3=40.0), 10) == Choice(1)
    assert choose(POOL, 1, held(s1=40, s2=30), 10) == Choice(3)


def test_when_all_wait_the_first_that_may_send_again_is_waited_for() -> None:
    assert choose(POOL, 1, held(s1=40, s2=30, s3=35), 10) == Choice(wait=20)
    assert choose((), 1, {}, 10).wait > 0


def test_what_may_have_been_sent_is_asked_of_the_same_sender_only() -> None:
    assert choose(POOL, 1, {}, 0, required=2) == Choice(2)
    assert choose(POOL, 1, held(s2=40), 10, required=2) == Choice(wait=30)
    assert choose(POOL, 1, {}, 0, required=9) == Choice(9), "also after it has left the pool"


def test_senders_are_compiled_with_and_without_ids() -> None:
    assert compile_options({"senders": {"a": 3, "b": 0}}).senders == (("a", 3), ("b", 0))
    assert compile_options({"senders": ["a"]}).senders == (("a", 0),)
    with pytest.raises(ValueError, match="senders"):
        compile_options({"senders": {"a": "3"}})
