"""Lets the copy of an answer answer the copy of what its message answers.

Where that has no copy, or its copy cannot be answered, the answer is sent as any message.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from telethon.tl import types

from afx.forwarding.pipeline import Delivery
from afx.forwarding.whole_albums import units


def before_answers(batch: Sequence[Delivery]) -> int:
    """Return how many sends come before the first one that answers a send of the same batch."""
    sent: set[tuple[int, int, int]] = set()
    for index, it in enumerate(batch):
        if it.answers and (it.rule, it.source, it.answers) in sent:
            return index
        sent.add((it.rule, it.source, it.message))
    return len(batch)


def set_requests(batch: Sequence[Delivery]) -> None:
    """Choose how answers are sent whose parents are known: a forward cannot answer anything."""
    for unit in units(batch, lambda it: it):
        if not unit[0].parent or not unit[0].needs_native_forward:
            continue
        can_answer = all(has_reference(it.raw) for it in unit)
        for it in unit:
            if can_answer:
                it.needs_native_forward = False
            else:
                it.answers = it.parent = 0


def forget(batch: Sequence[Delivery]) -> None:
    """Let sends answer nothing: the copy that they were to answer is gone."""
    for it in batch:
        it.answers = it.parent = 0


def has_reference(message: Any) -> bool:
    """Return whether a message has a file that is sent by reference (api/file-references)."""
    media = getattr(message, "media", None)
    if isinstance(media, types.MessageMediaPhoto):
        return isinstance(media.photo, types.Photo) and not media.ttl_seconds
    return (
        isinstance(media, types.MessageMediaDocument)
        and isinstance(media.document, types.Document)
        and not media.ttl_seconds
    )
