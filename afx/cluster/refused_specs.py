"""Specs that nodes refused: how many, and the newest of them for people to read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import redis

from afx.cluster import keys
from afx.reasons import FailureReason

if TYPE_CHECKING:  # building the models of all reports takes a command 25 ms
    from afx.cluster.reports import Failed

_STREAM_LIMIT = 1_000
_TEXT_LIMIT = 2_000
_REASONS = (FailureReason.SPEC_INVALID, FailureReason.SPEC_OUTDATED)


def among(failed: Iterable[Failed]) -> list[Failed]:
    """Return the failures that mean: somebody else than a coordinator wrote the spec."""
    return [it for it in failed if it.reason in _REASONS]


def quarantine(client: redis.Redis, refused: Sequence[Failed]) -> None:
    """Count refused specs, and keep what Redis has in their places, before it is rewritten."""
    pipe = client.pipeline(transaction=False)
    for it in refused:
        pipe.getrange(keys.spec(it.session_id), 0, _TEXT_LIMIT - 1)
    found = pipe.execute(raise_on_error=False)
    for it, text in zip(refused, found, strict=True):
        pipe.xadd(
            keys.SPECS_REFUSED,
            {
                "session": it.session_id,
                "epoch": it.epoch,
                "node": it.node,
                "reason": str(it.reason),
                "detail": it.text,
                "spec": text if isinstance(text, str) else "",
            },
            maxlen=_STREAM_LIMIT,
            approximate=True,
        )
    pipe.incrby(keys.SPECS_REFUSED_COUNT, len(refused))
    # Should someone have put other values there, the refusals themselves still stand.
    pipe.execute(raise_on_error=False)


def count(client: redis.Redis) -> int:
    """Return how many specs were ever refused."""
    text = str(client.get(keys.SPECS_REFUSED_COUNT) or "0")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else 0
