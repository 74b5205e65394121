"""What the values in a rule file may be: each form reads a value and publishes its JSON Schema.

One table of forms says what a filter or a transform is (``conditions``, ``transforms``); the
reader of rule files, the schema for editors and the check of what a node gets all come from it.
A value that is read is plain: texts, numbers, truths, lists and dicts, as JSON has them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from afx.errors import printable
from afx.forwarding.rule_text import UNREADABLE, Node, Problems

_WORDS = {"true": True, "false": False}
_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,17})", re.ASCII)
_SIZE = re.compile(r"(0|[1-9][0-9]{0,11})\s*(B|KiB|MiB|GiB|)", re.ASCII | re.IGNORECASE)
_DURATION = re.compile(r"([1-9][0-9]{0,9})\s*(s|m|h|d|)", re.ASCII | re.IGNORECASE)
_SHARE = re.compile(r"(0|1)?\.[0-9]{1,6}|[01]", re.ASCII)
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400}
_UNITS = {"": 1, "b": 1, "kib": 1024, "mib": 1024**2, "gib": 1024**3}
MOST_ITEMS = 500

Schema = dict[str, Any]
Check = Callable[[str], str | None]
"""Returns what is wrong with a text, None for nothing."""


@dataclass(slots=True, frozen=True)
class Place:
    """Where a value is: the field's name, such as ``filter.all.contains``."""

    problems: Problems
    field: str

    def fail(self, message: str, node: Node) -> Any:
        """Note an error at a node; returns ``UNREADABLE``, the value of what has one."""
        self.problems.add(message, node.line, field=self.field)
        return UNREADABLE

    def at(self, name: str) -> Place:
        """Return the place of a part."""
        return Place(self.problems, f"{self.field}.{name}")


class Form(Protocol):
    """What a value may be."""

    def read(self, node: Node, place: Place) -> Any:
        """Return a node's plain value, or ``UNREADABLE`` after an error was noted."""

    def schema(self) -> Schema:
        """Return the JSON Schema of what ``read`` takes."""


@dataclass(slots=True, frozen=True)
class Text:
    """A text; ``check`` says what is wrong with it."""

    about: str
    most: int = 1_000
    check: Check | None = None
    may_be_empty: bool = False

    def read(self, node: Node, place: Place) -> Any:
        """Return the text."""
        value = node.value
        if value is UNREADABLE:
            return UNREADABLE
        if not isinstance(value, str) or not (value or self.may_be_empty):
            return place.fail("this is not a text", node)
        if len(value) > self.most:
            return place.fail(f"this is longer than {self.most} characters", node)
        if any("\ud800" <= it <= "\udfff" or it == "\0" for it in value):
            return place.fail("this has characters that no message has", node)
        if self.check and (wrong := self.check(value)):
            return place.fail(wrong, node)
        return value

    def schema(self) -> Schema:
        """Return its JSON Schema; YAML's numbers are texts here, too."""
        return {
            "type": ["string", "number"],
            "minLength": 0 if self.may_be_empty else 1,
            "maxLength": self.most,
            "description": self.about,
        }


@dataclass(slots=True, frozen=True)
class Choice:
    """One of some words."""

    about: str
    words: tuple[str, ...]

    def read(self, node: Node, place: Place) -> Any:
        """Return the word."""
        value = node.value
        if value is UNREADABLE:
            return UNREADABLE
        if value not in self.words:
            shown = printable(value) if isinstance(value, str) else "this"
            return place.fail(f"'{shown}' is none of {', '.join(self.words)}", node)
        return value

    def schema(self) -> Schema:
        """Return its JSON Schema."""
        return {"enum": list(self.words), "description": self.about}


@dataclass(slots=True, frozen=True)
class Truth:
    """``true`` or ``false``."""

    about: str

    def read(self, node: Node, place: Place) -> Any:
        """Return the truth."""
        value = node.value
        if value is UNREADABLE:
            return UNREADABLE
        if not isinstance(value, str) or not node.plain or value not in _WORDS:
            return place.fail("this is neither true nor false", node)
        return _WORDS[value]

    def schema(self) -> Schema:
        """Return its JSON Schema."""
        return {"type": "boolean", "description": self.about}


@dataclass(slots=True, frozen=True)
class Whole:
    """A whole number; with ``is_size`` one of bytes, which may have a unit, as ``10 MiB``."""

    about: str
    least: int
    most: int
    is_size: bool = False

    def read(self, node: Node, place: Place) -> Any:
        """Return the number."""
        value = node.value
        if value is UNREADABLE:
            return UNREADABLE
        number: int | None = None
        if isinstance(value, str) and self.is_size and (size := _SIZE.fullmatch(value)):
            number = int(size[1]) * _UNITS[size[2].lower()]
        elif isinstance(value, str) and _NUMBER.fullmatch(value):
            number = int(value)
        if number is None:
            unit = ", with or without a unit (KiB, MiB, GiB)" if self.is_size else ""
            return place.fail(f"this is not a whole number{unit}", node)
        if not self.least <= number <= self.most:
            return place.fail(f"this is not from {self.least} to {self.most}", node)
        return number

    def schema(self) -> Schema:
        """Return its JSON Schema."""
        kind: Any = ["integer", "string"] if self.is_size else "integer"
        return {
            "type": kind,
            "minimum": self.least,
            "maximum": self.most,
            "description": self.about,
        }


@dataclass(slots=True, frozen=True)
class Duration:
    """A time span such as ``90s``, ``10m``, ``6h`` or ``2d``; in seconds once it is read."""

    about: str
    least: int
    """In seconds, as ``most``."""
    most: int

    def read(self, node: Node, place: Place) -> Any:
        """Return the seconds."""
        value = node.value
        if value is UNREADABLE:
            return UNREADABLE
        match = _DURATION.fullmatch(value) if isinstance(value, str) else None
        if match is None:
            return place.fail("this is not a time span, such as 90s, 10m, 6h or 2d", node)
        seconds = int(match[1]) * _SECONDS[match[2].lower()]
        if not self.least <= seconds <= self.most:
            span = f"{duration_text(self.least)} to {duration_text(self.most)}"
            return place.fail(f"this is not from {span}", node)
        return seconds

    def schema(self) -> Schema:
        """Return its JSON Schema; a number is of seconds."""
        return {
            "type": ["string", "integer"],
            "pattern": "^[1-9][0-9]*\\s*[smhdSMHD]?$",
            "minimum": self.least,
            "maximum": self.most,
            "description": self.about,
        }


def duration_text(seconds: int) -> str:
    """Return a time span as ``Duration`` reads it, in the largest whole unit."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


@dataclass(slots=True, frozen=True)
class Share:
    """A number up to 1, such as ``0.9``."""

    about: str
    least: float

    def read(self, node: Node, place: Place) -> Any:
        """Return the number."""
        value = node.value
        if value is UNREADABLE:
            return UNREADABLE
        if not isinstance(value, str) or not _SHARE.fullmatch(value):
            return place.fail("this is not a number such as 0.9", node)
        if not self.least <= float(value) <= 1:
            return place.fail(f"this is not from {self.least} to 1", node)
        return float(value)

    def schema(self) -> Schema:
        """Return its JSON Schema."""
        return {"type": "number", "minimum": self.least, "maximum": 1, "description": self.about}


@dataclass(slots=True, frozen=True)
class DurationOr:
    """A time span alone, or a table with one."""

    plain: Duration
    table: Table

    def read(self, node: Node, place: Place) -> Any:
        """Return the seconds, or the table's values."""
        form: Form = self.table if isinstance(node.value, dict) else self.plain
        return form.read(node, place)

    def schema(self) -> Schema:
        """Return its JSON Schema."""
        return {
            "anyOf": [self.plain.schema(), self.table.schema()],
            "description": self.plain.about,
        }


@dataclass(slots=True, frozen=True)
class Many:
    """One value or a list of them; always a list once it is read."""

    item: Form
    most: int = MOST_ITEMS

    def read(self, node: Node, place: Place) -> Any:
        """Return the values, each once."""
        if node.value is UNREADABLE:
            return UNREADABLE
        nodes = node.value if isinstance(node.value, list) else [node]
        if not nodes:
            return place.fail("this is an empty list", node)
        if len(nodes) > self.most:
            return place.fail(f"this has more than {self.most} entries", node)
        found: list[Any] = []
        for it in nodes:
            value = self.item.read(it, place)
            if value is not UNREADABLE and value not in found:
                found.append(value)
        return found

    def schema(self) -> Schema:
        """Return its JSON Schema."""
        item = self.item.schema()
        return {
            "anyOf": [item, {"type": "array", "items": item, "minItems": 1, "maxItems": self.most}],
            "description": item.get("description", ""),
        }


@dataclass(slots=True, frozen=True)
class TruthOr:
    """``true`` or ``false``, or something else."""

    other: Form
    about: str

    def read(self, node: Node, place: Place) -> Any:
        """Return the truth, or the other's value."""
        if isinstance(node.value, str) and node.plain and node.value in _WORDS:
            return _WORDS[node.value]
        return self.other.read(node, place)

    def schema(self) -> Schema:
        """Return its JSON Schema."""
        return {"anyOf": [{"type": "boolean"}, self.other.schema()], "description": self.about}


@dataclass(slots=True, frozen=True)
class Table:
    """A mapping of known fields; ``whole`` says what is wrong with their values together."""

    about: str
    fields: Mapping[str, Form]
    required: Sequence[str] = ()
    whole: Callable[[Mapping[str, Any]], str | None] | None = None

    def read(self, node: Node, place: Place) -> Any:
        """Return the fields' values."""
        if node.value is UNREADABLE:
            return UNREADABLE
        if not isinstance(node.value, dict) or not node.value:
            return place.fail(f"this has fields: {', '.join(self.fields)}", node)
        before = len(place.problems)
        for name, it in node.value.items():
            if name not in self.fields:
                known = ", ".join(self.fields)
                place.fail(f"'{printable(name)}' is not known; it has {known}", it)
        for name in self.required:
            if name not in node.value:
                place.fail(f"there is no '{name}'", node)
        values = {
            name: form.read(node.value[name], place.at(name))
            for name, form in self.fields.items()
            if name in node.value
        }
        if len(place.problems) > before or UNREADABLE in values.values():
            return UNREADABLE
        if self.whole and (wrong := self.whole(values)):
            return place.fail(wrong, node)
        return values

    def schema(self) -> Schema:
        """Return its JSON Schema."""
        return {
            "type": "object",
            "properties": {name: it.schema() for name, it in self.fields.items()},
            "required": list(self.required),
            "additionalProperties": False,
            "minProperties": 1,
            "description": self.about,
        }


@dataclass(slots=True, frozen=True)
class Pairs:
    """A mapping of any texts to texts."""

    about: str
    longest: int
    most: int = 200

    def read(self, node: Node, place: Place) -> Any:
        """Return the mapping."""
        if node.value is UNREADABLE:
            return UNREADABLE
        if not isinstance(node.value, dict) or not node.value:
            return place.fail("this is not a mapping of old to new", node)
        if len(node.value) > self.most:
            return place.fail(f"this has more than {self.most} entries", node)
        text = Text(self.about, self.longest)
        old = [text.read(Node(it, node.line), place) for it in node.value]
        new = [text.read(it, place) for it in node.value.values()]
        if UNREADABLE in old or UNREADABLE in new:
            return UNREADABLE
        return dict(zip(old, new, strict=True))

    def schema(self) -> Schema:
        """Return its JSON Schema."""
        text = {"type": "string", "minLength": 1, "maxLength": self.longest}
        return {
            "type": "object",
            "additionalProperties": text,
            "minProperties": 1,
            "maxProperties": self.most,
            "description": self.about,
        }


def node_of(value: Any, line: int = 1, depth: int = 0) -> Node:
    """Return a plain value, such as one out of JSON, as a node; raises ValueError."""
    if depth > 40:
        raise ValueError("nested too deeply")
    if isinstance(value, Mapping):
        return Node({str(key): node_of(it, line, depth + 1) for key, it in value.items()}, line)
    if isinstance(value, list | tuple):
        return Node([node_of(it, line, depth + 1) for it in value], line)
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return Node("" if value is None else text, line, plain=not isinstance(value, str))
