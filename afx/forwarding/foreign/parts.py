"""The values of a foreign file, with the place of each; whoever wrote it may mean harm.

All errors of a file are noted, and what cannot be carried over is told with what to do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from afx.errors import printable
from afx.forwarding.rule_text import UNREADABLE, Problems

MOST_LOOKED_AT = 200_000
"""Entries of lists and mappings, counted each time that they are read."""
INTEGER = re.compile(r"[-+]?[0-9]{1,20}", re.ASCII)


class Effect(StrEnum):
    """What it means for the rules that something is not carried over."""

    NONE = "none"
    """They forward the same messages without it."""
    DISABLED = "disabled"
    """They would forward or show something else, so they are written as disabled."""
    LEFT_OUT = "left_out"
    """A chat, or a rule, is not there."""


@dataclass(slots=True, frozen=True)
class Note:
    """What is not carried over, and what to do; the message has no full stop."""

    field: str
    message: str
    effect: Effect = Effect.NONE
    line: int | None = None
    rule: str = ""
    """The name of the rule that it is about; empty: all of the file."""


@dataclass(slots=True, frozen=True)
class Part:
    """A value of a file: a dict or list of parts, a text, a number, a truth, or None."""

    value: Any
    field: str = ""
    line: int | None = None


class Reader:
    """Reads parts as what they should be; collects the errors and the notes of one file."""

    def __init__(self, where: str) -> None:
        self.problems = Problems(where)
        self.notes: list[Note] = []
        self._looked_at = 0

    def _has_room(self, part: Part, count: int) -> bool:
        """Return whether so many entries may be looked at; the first that may not is an error.

        A file of 1 MiB can name thousands of filters that thousands of rules share.
        """
        had_room = self._looked_at <= MOST_LOOKED_AT
        self._looked_at += count
        has_room = self._looked_at <= MOST_LOOKED_AT
        if had_room and not has_room:
            self.fail(part, "all rules together have too many entries; split the file")
        return has_room

    def fail(self, part: Part, message: str) -> None:
        """Note an error."""
        self.problems.add(message, part.line, field=part.field or None)

    def note(
        self, part: Part, message: str, effect: Effect = Effect.NONE, *, rule: str = ""
    ) -> None:
        """Note what is not carried over."""
        self.notes.append(Note(part.field, message, effect, part.line, rule))

    def table(self, part: Part | None) -> dict[str, Part]:
        """Return the entries of a mapping; none of a missing one."""
        if part is None or part.value is None or part.value is UNREADABLE:
            return {}
        if not isinstance(part.value, dict):
            self.fail(part, "this is not a mapping")
            return {}
        return part.value if self._has_room(part, len(part.value)) else {}

    def items(self, part: Part | None) -> list[Part]:
        """Return the entries of a list, or the keys of a set of YAML."""
        if part is None or part.value is None or part.value is UNREADABLE:
            return []
        if isinstance(part.value, dict | list) and not self._has_room(part, len(part.value)):
            return []
        if isinstance(part.value, dict) and all(it.value is None for it in part.value.values()):
            return [Part(key, part.field, it.line) for key, it in part.value.items()]
        if not isinstance(part.value, list):
            self.fail(part, "this is not a list")
            return []
        return part.value

    def text(self, part: Part | None) -> str | None:
        """Return a text, or a whole number as one; None for what is missing or an error."""
        if part is None or part.value is None or part.value is UNREADABLE:
            return None
        if isinstance(part.value, bool) or not isinstance(part.value, str | int):
            self.fail(part, "this is not a text")
            return None
        return str(part.value)

    def texts(self, part: Part | None) -> Iterator[tuple[Part, str]]:
        """Yield the texts of a list, each with its part."""
        for it in self.items(part):
            if (text := self.text(it)) is not None:
                yield it, text

    def truth(self, part: Part | None, default: bool = False) -> bool:
        """Return a truth; the default for what is missing or an error."""
        if part is None or part.value is None or part.value is UNREADABLE:
            return default
        if not isinstance(part.value, bool):
            self.fail(part, "this is neither true nor false")
            return default
        return part.value

    def whole(self, part: Part | None) -> int:
        """Return a whole number; 0 for what is missing or an error."""
        if part is None or part.value is None or part.value is UNREADABLE:
            return 0
        value = part.value
        if isinstance(value, str) and INTEGER.fullmatch(value):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            self.fail(part, "this is not a whole number")
            return 0
        return value

    def choice(self, part: Part | None, words: Sequence[str], default: str) -> str:
        """Return one of some words; the default for what is missing or an error."""
        text = self.text(part)
        if text is None or part is None:
            return default
        if text not in words:
            self.fail(part, f"'{printable(text)}' is none of {', '.join(words)}")
            return default
        return text

    def tell_others(
        self,
        table: dict[str, Part],
        known: Sequence[str],
        effect: Effect = Effect.NONE,
        *,
        rule: str = "",
    ) -> None:
        """Note the entries of a mapping that are not known, and what that means for the rules."""
        for key, it in table.items():
            if key not in known:
                text = f"'{printable(key)}' is not known, and was left out"
                if effect is Effect.DISABLED:
                    text += "; the rule is disabled until you have looked at it"
                self.note(it, text, effect, rule=rule)
