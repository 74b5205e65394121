"""Values in the texts that owners of pools' lanes and senders exchange: parsed, never trusted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from afx.cluster.fields import INT32_LIMIT

_LIMIT = 4 * 1024 * 1024


class MalformedOrderError(Exception):
    """A text is no order, or no answer."""


def fields_of(text: str) -> Mapping[str, Any]:
    """Return the fields of a JSON object; raises MalformedOrderError."""
    if len(text) > _LIMIT:
        raise MalformedOrderError("it is too long")
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MalformedOrderError("it is no JSON") from error
    if not isinstance(fields, dict):
        raise MalformedOrderError("it is no object")
    return fields


def number(value: Any) -> int:
    """Return a whole number of 64 bits; raises ValueError."""
    if type(value) is not int or abs(value) > 2**63:
        raise ValueError("no whole number")
    return value


def message_id(value: Any) -> int:
    """Return the id of a message, or 0; raises ValueError."""
    found = number(value)
    if not 0 <= found < INT32_LIMIT:
        raise ValueError("no id of a message")
    return found


def text(value: Any) -> str:
    """Return a text; raises ValueError."""
    if not isinstance(value, str):
        raise ValueError("no text")
    return value
