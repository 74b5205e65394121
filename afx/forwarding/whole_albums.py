"""Which deliveries are items of one album, and are sent by one request."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from afx.forwarding.pipeline import Delivery

MOST_IN_ALBUM = 10
"""Items of an album at most (core.telegram.org/method/messages.sendMultiMedia)."""

_T = TypeVar("_T")


def is_item(it: Delivery) -> bool:
    """Return whether a delivery sends an item of an album."""
    return bool(it.album) and it.op == "send"


def is_same_album(one: Delivery, other: Delivery) -> bool:
    """Return whether two items are of one album, sent by one rule."""
    return (
        is_item(one)
        and is_item(other)
        and (one.source, one.album, one.rule, one.mode, one.needs_native_forward)
        == (other.source, other.album, other.rule, other.mode, other.needs_native_forward)
    )


def units(them: Iterable[_T], delivery: Callable[[_T], Delivery]) -> Iterator[list[_T]]:
    """Yield what is sent together, in order: the items of an album, or one delivery."""
    unit: list[_T] = []
    for it in them:
        if unit and (
            len(unit) >= MOST_IN_ALBUM or not is_same_album(delivery(it), delivery(unit[-1]))
        ):
            yield unit
            unit = []
        unit.append(it)
    if unit:
        yield unit
