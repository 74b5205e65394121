"""Rules as a file that people write: YAML, TOML or JSON; reading, diff, writing.

    rules:
      - session: main
        name: news
        from: ["@the_news"]
        to: ["@my_copies", -1001234567890]
        mode: copy          # or forward
        enabled: true
        filter: {contains: [bitcoin, ether]}     # see conditions.py
        transform: {footer: "from {link}"}       # see transforms.py
        sync: [edits, deletes, pins]             # see changes.py
        options: {dedupe: 6h}                    # see options.py

All errors of a file are found in one pass; each names its line, and the field if it has one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import yaml

from afx.errors import UsageError, printable
from afx.forwarding.changes import NO_EDITS, SYNC
from afx.forwarding.conditions import FILTER, condition_schema
from afx.forwarding.forms import Form, Place, Schema, node_of
from afx.forwarding.options import OPTIONS, shown_options
from afx.forwarding.rule_text import UNREADABLE, Node, Problems, read_toml, read_yaml
from afx.forwarding.rules import chat_reference, destination_reference
from afx.forwarding.topics import wrong_destinations
from afx.forwarding.transforms import TRANSFORM, transform_schema

LARGEST_BYTES = 4 * 1024 * 1024
_LONGEST_TEXT = 100
_REQUIRED = ("session", "name", "from", "to")
_MODES = ("copy", "forward")
_WORDS = {"true": True, "false": False}
NO_TRANSFORM = "a forward shows the message as it is; transforms need the mode copy"


@dataclass(slots=True, frozen=True)
class RuleDoc:
    """One rule as a file has it."""

    session: str
    name: str
    sources: tuple[str, ...]
    destinations: tuple[str, ...]
    mode: str = "copy"
    enabled: bool = True
    filter: Mapping[str, Any] = field(default_factory=dict)
    """Which messages it forwards; empty takes all."""
    transform: Sequence[Mapping[str, Any]] = ()
    """What it changes of its copies, one after another."""
    sync: tuple[str, ...] = ()
    """What it follows in its copies: edits, deletes, pins."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """What else it does; times are in seconds."""

    @property
    def path(self) -> str:
        """``SESSION/NAME``, which identifies a rule for people."""
        return f"{self.session}/{self.name}"


@dataclass(slots=True, frozen=True)
class Change:
    """One difference between a file and what is stored."""

    kind: Literal["add", "change", "remove"]
    before: RuleDoc | None
    after: RuleDoc | None

    @property
    def path(self) -> str:
        """The rule's ``SESSION/NAME``."""
        rule = self.after or self.before
        assert rule is not None
        return rule.path


@dataclass(slots=True, frozen=True)
class RuleFile:
    """What a file says: its valid rules, the lines of their paths, and all errors.

    ``sessions`` and ``names`` are those of all rules, with the line of the first rule.
    """

    rules: tuple[RuleDoc, ...]
    lines: Mapping[str, int]
    sessions: Mapping[str, int]
    names: Mapping[str, int]
    problems: Problems


def read(data: bytes, where: str) -> RuleFile:
    """Read a rule file; TOML when ``where`` ends in ``.toml``, else YAML, which JSON is too."""
    problems = Problems(where)
    rules: list[RuleDoc] = []
    lines: dict[str, int] = {}
    sessions: dict[str, int] = {}
    names: dict[str, int] = {}
    root = _root(data, problems)
    for node in _rules_of(root, problems) if root else ():
        before = len(problems)
        values = _values(node, problems)
        for key, seen in (("session", sessions), ("name", names)):
            if values.get(key):
                seen.setdefault(values[key], node.value[key].line)
        if values.get("mode") == "forward" and values.get("transform"):
            problems.add(NO_TRANSFORM, node.value["transform"].line, field="transform")
        if values.get("mode") == "forward" and "edits" in (values.get("sync") or ()):
            problems.add(NO_EDITS, node.value["sync"].line, field="sync")
        if not values.keys() >= set(_REQUIRED) or len(problems) > before:
            continue
        doc = _doc(values)
        if doc.path in lines:
            problems.add(
                f"rule '{doc.path}' is there already, in line {lines[doc.path]}", node.line
            )
            continue
        lines[doc.path] = node.line
        rules.append(doc)
    return RuleFile(tuple(rules), lines, sessions, names, problems)


def parse(data: bytes, where: str) -> list[RuleDoc]:
    """Return the rules of a file, as ``read`` does; InputFileError lists all its errors."""
    file = read(data, where)
    file.problems.check()
    return list(file.rules)


def diff(wanted: Sequence[RuleDoc], stored: Iterable[RuleDoc], *, prune: bool) -> list[Change]:
    """Return what makes the stored rules those of the file, in the file's order.

    With ``prune``, stored rules that the file does not name are removed.
    """
    before = {it.path: it for it in stored}
    changes = [
        Change("change" if it.path in before else "add", before.get(it.path), it)
        for it in wanted
        if before.get(it.path) != it
    ]
    if prune:
        named = {it.path for it in wanted}
        changes += [Change("remove", it, None) for path, it in before.items() if path not in named]
    return changes


def dump(rules: Iterable[RuleDoc]) -> Iterator[str]:
    """Yield a rule file in YAML, a rule at a time; ``parse`` reads it back."""
    empty = True
    for it in rules:
        if empty:
            yield "rules:\n"
            empty = False
        document = [
            {
                "session": it.session,
                "name": it.name,
                "from": list(it.sources),
                "to": list(it.destinations),
                "mode": it.mode,
                "enabled": it.enabled,
                **({"filter": it.filter} if it.filter else {}),
                **({"transform": list(it.transform)} if it.transform else {}),
                **({"sync": list(it.sync)} if it.sync else {}),
                **({"options": shown_options(it.options)} if it.options else {}),
            }
        ]
        yield yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=1000)
    if empty:
        yield "rules: []\n"


def read_part(
    text: str, where: str, name: Literal["filter", "transform", "sync", "options"]
) -> Any:
    """Return a part of a rule, written in YAML as in a file; raises InputFileError."""
    problems = Problems(where)
    node = read_yaml(text, problems)
    value = _PARTS[name].read(node, Place(problems, name)) if node else None
    problems.check()
    return value


def checked(
    filter: Mapping[str, Any] | None, transform: Sequence[Any] | None, mode: str, where: str
) -> tuple[dict[str, Any], list[Any]]:
    """Return a filter and transforms out of JSON in their plain form; raises InputFileError."""
    problems = Problems(where)
    found = []
    for name, value in (("filter", filter), ("transform", transform)):
        try:
            place = Place(problems, name)
            found.append(_PARTS[name].read(node_of(value), place) if value else None)
        except ValueError as error:
            problems.add(str(error), field=name)
    if transform and mode == "forward":
        problems.add(NO_TRANSFORM, field="transform")
    problems.check()
    return dict(found[0] or {}), list(found[1] or [])


def checked_sync(sync: Sequence[str] | None, mode: str, where: str) -> list[str]:
    """Return what is followed, out of JSON in its plain form; raises InputFileError."""
    problems = Problems(where)
    found = SYNC.read(node_of(list(sync)), Place(problems, "sync")) if sync else []
    if mode == "forward" and "edits" in (sync or ()):
        problems.add(NO_EDITS, field="sync")
    problems.check()
    return list(found)


def checked_options(options: Mapping[str, Any] | None, where: str) -> dict[str, Any]:
    """Return options out of JSON in their plain form; raises InputFileError."""
    problems = Problems(where)
    found: Any = {}
    try:
        found = OPTIONS.read(node_of(options), Place(problems, "options")) if options else {}
    except ValueError as error:
        problems.add(str(error), field="options")
    problems.check()
    return dict(found)


def schema() -> Schema:
    """Return the JSON Schema of a rule file, for editors."""
    chat = {
        "type": ["string", "integer"],
        "description": "@name, link of t.me, or id; or CHAT/TOPIC.",
    }
    chats = {"anyOf": [chat, {"type": "array", "items": chat, "minItems": 1}]}
    rule = {
        "type": "object",
        "required": list(_REQUIRED),
        "additionalProperties": False,
        "properties": {
            "session": {"type": "string", "description": "The session that forwards."},
            "name": {"type": "string", "description": "Unique within the session."},
            "from": {**chats, "description": "Source chats."},
            "to": {
                **chats,
                "description": "Destination chats, and outputs: webhook:URL, file:NAME.jsonl, "
                "rss:NAME.xml.",
            },
            "mode": {
                "enum": list(_MODES),
                "default": "copy",
                "description": "copy shows no author; forward does.",
            },
            "enabled": {"type": "boolean", "default": True},
            "filter": {**FILTER.schema(), "description": "Which messages are forwarded."},
            "transform": {**TRANSFORM.schema(), "description": "What is changed of copies."},
            "sync": SYNC.schema(),
            "options": OPTIONS.schema(),
        },
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Rules of AutoForwardX",
        "type": "object",
        "required": ["rules"],
        "additionalProperties": False,
        "properties": {"rules": {"type": "array", "items": {"$ref": "#/$defs/rule"}}},
        "$defs": {"rule": rule, "condition": condition_schema(), "transform": transform_schema()},
    }


def renamed(doc: RuleDoc, session: str) -> RuleDoc:
    """Return a rule under its session's full name."""
    return replace(doc, session=session)


# --- from nodes to rules -------------------------------------------------------------------


def _root(data: bytes, problems: Problems) -> Node | None:
    if len(data) > LARGEST_BYTES:
        problems.add(f"the file has more than {LARGEST_BYTES // 1024 // 1024} MiB; split it")
        return None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        problems.add("this is not UTF-8 text", data[: error.start].count(b"\n") + 1)
        return None
    reader = read_toml if problems.where.lower().endswith(".toml") else read_yaml
    return reader(text, problems)


def _rules_of(root: Node, problems: Problems) -> list[Node]:
    if root.value is UNREADABLE:
        return []
    if not isinstance(root.value, dict):
        problems.add("the file has no 'rules:'", root.line)
        return []
    for key, node in root.value.items():
        if key != "rules":
            problems.add(f"'{printable(key)}' is not known here; only 'rules' is", node.line)
    rules = root.value.get("rules")
    if rules is None:
        problems.add("the file has no 'rules:'", root.line)
        return []
    if not isinstance(rules.value, list):
        problems.add("this is not a list of rules", rules.line, field="rules")
        return []
    return rules.value


def _values(node: Node, problems: Problems) -> dict[str, Any]:
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
    for key in _REQUIRED:
        if key not in fields:
            problems.add(f"the rule has no '{key}'", node.line)
    return {
        key: _READERS[key](_Field(key, it, problems))
        for key, it in fields.items()
        if key in _READERS and it.value is not UNREADABLE
    }


def _doc(values: Mapping[str, Any]) -> RuleDoc:
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
        if value is not None and value not in _MODES:
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
_PARTS: Mapping[str, Form] = {
    "filter": FILTER,
    "transform": TRANSFORM,
    "sync": SYNC,
    "options": OPTIONS,
}
