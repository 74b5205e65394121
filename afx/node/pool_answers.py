"""What a sender of a pool answers to an order, as text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, get_args

from afx.node.pool_orders import UNFIT, Order
from afx.node.pool_texts import MalformedOrderError, fields_of, message_id, number, text
from afx.reasons import DeadReason
from afx.telegram.sender import Outcome, Result

ABSENT = "it was not sent"
"""The reason of what is surely not there."""
UNCLEAR = "UNCLEAR: "
"""How the reason of what cannot be told begins."""
_RESULTS = frozenset(get_args(Result))
_UNREAD = "unread"
_UNREAD_ROW = ["wait", 0, 15.0, "its node cannot read what it was asked for", False, None, False]


def settled_ids(order: Order, outcomes: Sequence[Outcome], doubts: frozenset[int]) -> list[int]:
    """Return the random_ids of an order that are in doubt no more.

    One that was in doubt before stays so when it was not made now: it may have been before. That
    the account may not post any more says nothing of it either.
    """
    return [
        it.random_id
        for it, its in zip(order.deliveries, outcomes, strict=True)
        if it.op == "send"
        and (
            its.result in ("sent", "known")
            or (its.result == "refused" and not its.reason.startswith(UNFIT))
            or (its.result in ("wait", "again", "refused") and it.random_id not in doubts)
        )
    ]


def found_ids(order: Order, outcomes: Sequence[Outcome]) -> list[int]:
    """Return the random_ids of what is in doubt no more after a search."""
    return [
        it.random_id
        for it, its in zip(order.deliveries, outcomes, strict=True)
        if its.result == "known" or its.reason == ABSENT
    ]


def encode_answer(outcomes: Sequence[Outcome], doubts: Sequence[int]) -> str:
    """Return the outcomes of an order's deliveries as text.

    ``doubts`` are the random_ids of those that may have been sent all the same.
    """
    rows = [
        [it.result, it.copy, it.seconds, it.reason[:200], it.whole_account, it.dead, it.is_earlier]
        for it in outcomes
    ]
    return json.dumps({"outcomes": rows, "doubts": list(doubts)}, separators=(",", ":"))


def encode_unread(doubts: Sequence[int]) -> str:
    """Return the answer to an order that cannot be read, as text; ``doubts`` as above."""
    return json.dumps({"outcomes": _UNREAD, "doubts": list(doubts)}, separators=(",", ":"))


def decode_answer(answer: str, count: int) -> tuple[list[Outcome], list[int]]:
    """Return the outcomes of so many deliveries, and the random_ids that are in doubt.

    Raises MalformedOrderError.
    """
    fields = fields_of(answer)
    try:
        rows = fields["outcomes"]
        if rows == _UNREAD:
            rows = [_UNREAD_ROW] * count
        if not isinstance(rows, list) or len(rows) != count:
            raise ValueError("another number of outcomes")
        doubts = fields["doubts"]
        if not isinstance(doubts, list) or len(doubts) > count:
            raise ValueError("no doubts")
        return [_outcome(*it) for it in rows], [number(it) for it in doubts]
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise MalformedOrderError(f"{type(error).__name__}: {error}") from error


def _outcome(
    result: Any, copy: Any, seconds: Any, reason: Any, whole: Any, dead: Any, earlier: Any
) -> Outcome:
    if result not in _RESULTS or not 0 <= float(seconds) < 1e9:
        raise ValueError("an unknown result")
    return Outcome(
        result,
        message_id(copy),
        float(seconds),
        text(reason),
        whole is True,
        None if dead is None else DeadReason(dead),
        is_earlier=earlier is True,
    )
