"""Regular expressions in linear time, so that no rule can freeze a node.

RE2 (github.com/google/re2/wiki/Syntax) knows neither back-references nor look-around. A
pattern may become a large program, though, and time grows with its size: it is bounded.
"""

from __future__ import annotations

import time
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST = 1_000
"""Characters of a pattern."""
LARGEST_PROGRAM = 3_000
"""Instructions of a pattern; the largest take some 40 ms over 4,096 characters."""
_MOST_SECONDS = 0.25
"""CPU time for all matches of a pattern in one text."""
_MEMORY = 256 * 1024
_LARGER_MEMORY = 64 * 1024 * 1024


@lru_cache(maxsize=4_096)
def compiled(pattern: str) -> Any:
    """Return RE2's pattern; raises ValueError that says what is wrong, for people."""
    import re2  # it costs memory, and most nodes have no rule that needs it

    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MEMORY
    try:
        made = re2.compile(pattern, options)
    except re2.error:
        options.max_mem = _LARGER_MEMORY
        try:
            re2.compile(pattern, options)
        except re2.error:
            raise ValueError(
                "this is no regular expression of RE2: check the brackets; it knows neither "
                "look-around nor back-references"
            ) from None
        raise ValueError(_TOO_LARGE) from None
    if made.programsize > LARGEST_PROGRAM:
        raise ValueError(_TOO_LARGE)
    return made


_TOO_LARGE = "this regular expression is too large; use fewer or smaller repeats"


def wrong_with(pattern: str) -> str | None:
    """Return what is wrong with a pattern, None for nothing."""
    try:
        compiled(pattern)
    except ValueError as error:
        return str(error)
    return None


def matches(pattern: str, text: str) -> Iterator[Any]:
    """Yield the matches of a pattern in a text, from left to right, as ``re`` has them.

    One search is linear, but each match may have to look at the rest of the text. Raises
    ValueError when all together take more CPU time than a node can spare.
    """
    until = time.thread_time() + _MOST_SECONDS
    for it in compiled(pattern).finditer(text):
        if time.thread_time() > until:
            raise ValueError("a regular expression takes too long for this text")
        yield it
