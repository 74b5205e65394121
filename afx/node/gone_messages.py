"""Sends of messages that are deleted, and of which the content was stored (see ``snapshots``)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from afx.forwarding.outputs import is_output
from afx.forwarding.pipeline import Delivery, Incoming
from afx.forwarding.whole_albums import units
from afx.node.parents import has_reference
from afx.telegram.sender import is_forward


class Sent(NamedTuple):
    """A send that was read."""

    place: int
    """Where it is among what is read together."""
    delivery: Delivery
    message: Incoming
    is_gone: bool
    """Telegram has its message no more."""


def without_source(sends: Sequence[Sent]) -> Iterator[int]:
    """Let sends of what is gone need no source; yields the places of those that cannot.

    Nobody can forward a message that is gone: its file is sent by reference, while Telegram
    still has that (api/file-references), and with it those of its album.
    """
    if not any(it.is_gone for it in sends):
        return
    for unit in units(sends, lambda it: it.delivery):
        if not any(it.is_gone for it in unit):
            continue
        for place, delivery, message, is_gone in unit:
            if is_output(delivery.destination) or not is_forward(delivery):
                continue
            if delivery.mode == "copy" and has_reference(message.raw):
                delivery.needs_native_forward = False
                delivery.raw = message.raw
            elif is_gone:
                yield place
