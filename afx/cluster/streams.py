"""What Redis answers to a read of a stream."""

from __future__ import annotations

from typing import Any


def entries(answer: Any) -> list[Any]:
    """Return one stream's entries, as (id, fields); RESP 3 answers a mapping, RESP 2 a list."""
    if not answer:
        return []
    if isinstance(answer, dict):
        return list(next(iter(answer.values()))[0])
    return list(answer[0][1])
