"""Values of records in Redis, read as what they should be: None for anything else."""

from __future__ import annotations

import math
import re

_INTEGER = re.compile(r"-?[0-9]{1,18}", re.ASCII)
INT32_LIMIT = 2**31
"""What an integer column of SQL takes."""
EXACT_LIMIT = 2**53
"""Lua's numbers are doubles, which are exact below this one."""


def integer(text: object, *, least: int = 0, limit: int = EXACT_LIMIT) -> int | None:
    """Return a whole number from ``least`` on and below ``limit``."""
    if not isinstance(text, str) or not _INTEGER.fullmatch(text):
        return None
    value = int(text)
    return value if least <= value < limit else None


def number(text: object, *, limit: float) -> float | None:
    """Return a number from 0 on and below ``limit``."""
    if not isinstance(text, str) or len(text) > 40:
        return None
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and 0 <= value < limit else None


def line(text: object, *, longest: int) -> str | None:
    """Return a text without control characters, which SQL, a log and a terminal can take."""
    if not isinstance(text, str) or len(text) > longest:
        return None
    return text if not text or text.isprintable() else None


def is_storable(text: str) -> bool:
    """Return whether Redis, SQL and a log can take a text.

    JSON may hold half a surrogate pair, which has no UTF-8 form, and NUL, which
    PostgreSQL refuses.
    """
    return "\0" not in text and not any("\ud800" <= it <= "\udfff" for it in text)
