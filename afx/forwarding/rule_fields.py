"""The fields of one rule of a file: each is read by itself, and notes its errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from afx.errors import UsageError, printable
from afx.forwarding.changes import SYNC
from afx.forwarding.conditions import FILTER
from afx.forwarding.forms import Form, Place
from afx.forwarding.options import OPTIONS
from afx.forwarding.rule_docs import RuleDoc
from afx.forwarding.rule_text import UNREADABLE, Node, Problems
from afx.forwarding.rules import chat_reference, destination_reference
from afx.forwarding.topics import wrong_destinations
from afx.forwarding.transforms import TRANSFORM

REQUIRED = ("session", "name", "from", "to")
MODES = ("copy", "forward")
_WORDS = {"true": True, "false": False}
_LONGEST_TEXT = 100


def read_values(node: Node, problems: Problems) -> dict[str, Any]:
    """Return the readable fields of a rule; None stands for a value with an error."""
    fields = node.value
    if not isinstance(fields, dict):
        if fields is not UNREADABLE:
            problems.add(f"a rule has fields: {', '.join(_KEYS)}", node.line)
        return {}
    for key, value in fields.items():
        if key not in _KEYS:
            problems.add(
                f"'{printable(key)}' is not known; a rule has {', '.join(_KEYS)}", value.line
            )
    for key in REQUIRED:
        if key not in fields:
            problems.add(f"the rule has no '{key}'", node.line)
    return {
        key: _READERS[key](_Field(key, it, problems))
        for key, it in fields.items()
        if key in _READERS and it.value is not UNREADABLE
    }


def rule_doc(values: Mapping[str, Any]) -> RuleDoc:
    """Return the rule of fields without errors."""
    return RuleDoc(
        values["session"],
        values["name"],
        values["from"],
        values["to"],
        values.get("mode", "copy"),
        values.get("enabled", True),
        values.get("filter", {}),
        tuple(values.get("transform", ())),
        tuple(values.get("sync", ())),
        values.get("options", {}),
    )


@dataclass(slots=True, frozen=True)
class _Field:
    """One field of a rule; each reader returns its value, or notes an error."""

    name: str
    node: Node
    problems: Problems

    def fail(self, message: str, line: int | None = None) -> None:
        self.problems.add(message, line or self.node.line, field=self.name)

    def text(self) -> str | None:
        value = self.node.value
        if not isinstance(value, str) or not value:
            self.fail("this is not a text")
            return None
        if not value.isprintable() or len(value) > _LONGEST_TEXT:
            self.fail(
                f"this is longer than {_LONGEST_TEXT} characters, or has characters "
                "that cannot be printed"
            )
            return None
        return value

    def mode(self) -> str | None:
        value = self.text()
        if value is not None and value not in MODES:
            self.fail(f"there is no mode '{printable(value)}'; use copy or forward")
            return None
        return value

    def sources(self) -> tuple[str, ...] | None:
        return self._chats(chat_reference)

    def destinations(self) -> tuple[str, ...] | None:
        found = self._chats(destination_reference)
        if wrong := wrong_destinations(found or ()):
            self.fail(wrong)
        return found

    def _chats(self, reference: Callable[[str], str]) -> tuple[str, ...] | None:
        nodes = self.node.value if isinstance(self.node.value, list) else [self.node]
        if not nodes:
            self.fail("this names no chat")
            return None
        chats: dict[str, None] = {}
        for it in nodes:
            if it.value is UNREADABLE:
                continue
            if not isinstance(it.value, str):
                self.fail("this is not a chat or a list of chats", it.line)
                continue
            try:
                chats[reference(it.value)] = None
            except UsageError as error:
                self.fail(str(error).rstrip("."), it.line)
        return tuple(chats)

    def truth(self) -> bool | None:
        value = self.node.value
        if not isinstance(value, str) or not self.node.plain or value not in _WORDS:
            self.fail("this is neither true nor false")
            return None
        return _WORDS[value]

    def filter(self) -> Any:
        value = FILTER.read(self.node, Place(self.problems, self.name))
        return None if value is UNREADABLE else value

    def transform(self) -> Any:
        value = TRANSFORM.read(self.node, Place(self.problems, self.name))
        return None if value is UNREADABLE else value

    def sync(self) -> Any:
        value = SYNC.read(self.node, Place(self.problems, self.name))
        return None if value is UNREADABLE else value

    def options(self) -> Any:
        value = OPTIONS.read(self.node, Place(self.problems, self.name))
        return None if value is UNREADABLE else value


_READERS: Mapping[str, Callable[[_Field], Any]] = {
    "session": _Field.text,
    "name": _Field.text,
    "from": _Field.sources,
    "to": _Field.destinations,
    "mode": _Field.mode,
    "enabled": _Field.truth,
    "filter": _Field.filter,
    "transform": _Field.transform,
    "sync": _Field.sync,
    "options": _Field.options,
}
_KEYS = tuple(_READERS)
PARTS: Mapping[str, Form] = {
    "filter": FILTER,
    "transform": TRANSFORM,
    "sync": SYNC,
    "options": OPTIONS,
}
