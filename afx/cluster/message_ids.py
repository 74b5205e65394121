"""Ids of messages as a text, for example ``1-3,9``."""

from __future__ import annotations

import re

from afx.cluster.fields import INT32_LIMIT

_RUN = re.compile(r"([0-9]{1,10})(?:-([0-9]{1,10}))?", re.ASCII)


def parse_ids(text: str, most: int) -> list[int]:
    """Return the ids of a text in its order; raises ValueError for another text, or more."""
    found: list[int] = []
    for part in text.split(","):
        match = _RUN.fullmatch(part)
        if match is None:
            raise ValueError(f"not ids of messages: {part[:40]!r}")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first or last >= INT32_LIMIT or len(found) + last - first >= most:
            raise ValueError(f"not ids of messages, or too many: {part[:40]!r}")
        found += range(first, last + 1)
    return found
