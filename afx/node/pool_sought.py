"""What is looked for in a destination, since the account that may have sent it cannot be asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from afx.forwarding.pipeline import Delivery
from afx.node.pool_texts import message_id, number, text
from afx.telegram.facts import media_kind
from afx.telegram.sender import is_forward


@dataclass(slots=True, frozen=True)
class Sought:
    """Copies to be looked for in their destination, which another account may have made."""

    session: int
    """Who may have made them."""
    after: int
    """The last copy of the lane before them; 0 where that is not known."""
    since: int
    """When it was asked for them first, in Unix seconds."""
    until: int
    """Until when it may have been at work, in Unix seconds: later posts are not theirs."""
    sample: int
    """A copy that it has made; 0 where none is known."""
    kinds: tuple[str, ...]
    """What media each has."""


def media_of(it: Delivery) -> str:
    """Return what media a send has, as rules name it; "" where only its message tells."""
    if it.raw is None and is_forward(it):
        return ""
    return media_kind(it.raw)


def parse_sought(fields: Mapping[str, Any], count: int) -> Sought:
    """Return what is sought of so many deliveries; raises ValueError and the like."""
    kinds = tuple(map(text, fields["kinds"]))
    if len(kinds) != count:
        raise ValueError("another number of kinds")
    since = number(fields["since"])
    until = number(fields["until"])
    after, sample = message_id(fields["after"]), message_id(fields["sample"])
    return Sought(number(fields["session"]), after, since, until, sample, kinds)
