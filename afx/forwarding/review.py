"""The option ``review``: nothing is sent before an operator has approved it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from afx.forwarding.forms import Duration, Table, TruthOr, duration_text

EXPIRES = 7 * 86_400
"""Seconds for which a message waits without a setting."""
_SHORTEST, _LONGEST = 60, 30 * 86_400

REVIEW = TruthOr(
    Table(
        "How long a message waits for an approval.",
        {
            "expires": Duration(
                "How long a message waits; then it is rejected.", _SHORTEST, _LONGEST
            )
        },
    ),
    "Whether each message waits until an operator approves it.",
)


def review_seconds(value: Any) -> int:
    """Return how long a message waits for an approval, 0 for a rule without reviews.

    Raises ValueError for what is no such option.
    """
    if type(value) is bool:
        return EXPIRES if value else 0
    seconds = value.get("expires") if isinstance(value, Mapping) and len(value) == 1 else None
    if type(seconds) is not int or seconds < 1:
        raise ValueError("the option 'review' is neither true, false nor a time of expiry")
    return seconds


def shown_review(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the option as people write it, if there is one."""
    value = options.get("review")
    if not isinstance(value, Mapping):
        return {}
    return {"review": {"expires": duration_text(value["expires"])}}


def review_sentence(seconds: int) -> str:
    """Return the option in words."""
    return (
        "Each message waits until an operator approves it, and is rejected after "
        f"{duration_text(seconds)}."
    )
