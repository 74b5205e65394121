"""The option ``dedupe``: what has been forwarded lately is not forwarded again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from afx.forwarding.forms import Duration, DurationOr, Share, Table, duration_text

LONGEST_WINDOW = 7 * 86_400
"""Seconds; what was forwarded earlier is no duplicate any more."""
LEAST_NEAR = 0.5

_WINDOW = Duration(
    "How long the same text, or the same file, is not forwarded again, whichever source "
    "of the rule it comes from.",
    60,
    LONGEST_WINDOW,
)
DEDUPE = DurationOr(
    _WINDOW,
    Table(
        "What is nearly the same is not forwarded again, either.",
        {
            "window": _WINDOW,
            "near": Share(
                "How alike two texts are that count as the same: the share of pairs of "
                "neighbouring words that both have.",
                LEAST_NEAR,
            ),
        },
        required=("window", "near"),
    ),
)


@dataclass(slots=True, frozen=True)
class Dedupe:
    """The option as a node uses it."""

    window: int = 0
    """In seconds; 0: nothing is a duplicate."""
    near: float = 0.0
    """How alike texts are that count as the same; 0: only the same text is."""


def compile_dedupe(value: Any) -> Dedupe:
    """Return the option as a node uses it; raises ValueError for what is none."""
    if isinstance(value, Mapping):
        window: Any = value.get("window")
        near: Any = value.get("near")
        if (
            set(value) != {"window", "near"}
            or type(window) is not int
            or window < 1
            or type(near) not in (int, float)
            or not LEAST_NEAR <= float(near) <= 1
        ):
            raise ValueError("the option 'dedupe' has a field that this node does not know")
        return Dedupe(window, float(near))
    if type(value) is not int or value < 0:
        raise ValueError("an option is not a time in seconds")
    return Dedupe(value)


def shown_dedupe(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the option as people write it, where it is a table."""
    value = options.get("dedupe")
    if not isinstance(value, Mapping):
        return {}
    return {"dedupe": {"window": duration_text(value["window"]), "near": value["near"]}}


def dedupe_sentence(value: Any) -> str:
    """Return the option in words."""
    it = compile_dedupe(value)
    what = "The same text or file"
    if it.near:
        what += f", or a text that is the same by {it.near:.0%},"
    return (
        f"{what} is forwarded once in {duration_text(it.window)}, whichever source it comes from."
    )
