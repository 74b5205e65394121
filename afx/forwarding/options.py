"""What else a rule does, besides what it filters, changes and follows: ``options``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from afx.forwarding.forms import Duration, Table, duration_text

LONGEST_WINDOW = 7 * 86_400
"""Seconds; what was forwarded earlier is no duplicate any more."""

OPTIONS = Table(
    "What else the rule does.",
    {
        "dedupe": Duration(
            "How long the same text, or the same file, is not forwarded again, whichever source "
            "of the rule it comes from.",
            60,
            LONGEST_WINDOW,
        ),
    },
)


@dataclass(slots=True, frozen=True)
class Options:
    """A rule's options, as a node uses them; times are in seconds."""

    dedupe: int = 0
    """How long the same content is a duplicate; 0: never."""


NO_OPTIONS = Options()


def compile_options(options: Mapping[str, Any]) -> Options:
    """Return options as a node uses them; raises ValueError for what it does not know."""
    if not options:
        return NO_OPTIONS
    if unknown := set(options) - set(OPTIONS.fields):
        raise ValueError(f"this node does not know the option {sorted(unknown)[0]!r}")
    return Options(dedupe=_seconds(options.get("dedupe", 0)))


def _seconds(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError("an option is not a time in seconds")
    return value


def shown_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options as people write them."""
    return {name: duration_text(it) for name, it in options.items()}


def sentences(options: Mapping[str, Any]) -> list[str]:
    """Return options in words."""
    found = []
    if window := options.get("dedupe"):
        found.append(
            f"The same text or file is forwarded once in {duration_text(window)}, "
            "whichever source it comes from."
        )
    return found
