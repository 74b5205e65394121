"""How alike two texts are: the share of neighbouring word pairs that both have.

Of a text only a sketch is kept: the smallest hashes of its pairs ("bottom-k", A. Broder, On the
resemblance and containment of documents, 1997). The likeness of two sketches is exact where both
texts together have no more pairs than a sketch has hashes, and an estimate otherwise, whose
standard error is about 0.06 for texts that are nine tenths the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from hashlib import blake2b
from itertools import pairwise

SKETCH = 24
"""Hashes of a sketch."""
_WORD = re.compile(r"\w+")
_MOST_WORDS = 1_000
"""Of a text; Telegram's are shorter."""

Sketch = frozenset[int]
"""Hashes of 32 bits."""


def pairs_of(text: str, more: Iterable[str] = ()) -> frozenset[str]:
    """Return the pairs of neighbouring words of a text, and ``more``; of one word that word.

    Upper and lower case, white space, signs and emoji make no difference.
    """
    words = _WORD.findall(text.casefold())[:_MOST_WORDS]
    pairs = [f"{a} {b}" for a, b in pairwise(words)] or words
    return frozenset((*pairs, *more))


def sketch_of(pairs: Iterable[str]) -> Sketch:
    """Return the sketch of some pairs; empty for none."""
    # A zero stands for none where sketches are stored.
    hashes = {
        int.from_bytes(blake2b(it.encode("utf-8", "replace"), digest_size=4).digest()) or 1
        for it in pairs
    }
    return frozenset(sorted(hashes)[:SKETCH])


def likeness(one: Sketch, other: Sketch) -> float:
    """Return how alike two texts are by their sketches: 0 to 1, 0 for what has no words."""
    if not one or not other:
        return 0.0
    smallest = sorted(one | other)[:SKETCH]
    return sum(it in one and it in other for it in smallest) / len(smallest)
