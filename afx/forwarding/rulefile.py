"""Rules as a file that people write: YAML, TOML or JSON.

    rules:
      - session: main
        name: news
        from: ["@the_news"]
        to: ["@my_copies", -1001234567890]
        mode: copy          # or forward
        enabled: true
        filter: {contains: [bitcoin, ether]}     # see conditions.py
        transform: {footer: "from {link}"}       # see transforms.py
        sync: [edits, deletes, pins, topics]     # see changes.py
        options: {dedupe: 6h}                    # see options.py

All errors of a file are found in one pass; each names its line, and the field if it has one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from afx.errors import printable
from afx.forwarding.changes import NO_EDITS, SYNC
from afx.forwarding.conditions import FILTER, condition_schema
from afx.forwarding.forms import Place, Schema, node_of
from afx.forwarding.options import OPTIONS
from afx.forwarding.rule_docs import RuleDoc
from afx.forwarding.rule_fields import MODES, PARTS, REQUIRED, read_values, rule_doc
from afx.forwarding.rule_text import UNREADABLE, Node, Problems, read_toml, read_yaml
from afx.forwarding.transforms import TRANSFORM, transform_schema

LARGEST_BYTES = 4 * 1024 * 1024
NO_TRANSFORM = "a forward shows the message as it is; transforms need the mode copy"


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
        values = read_values(node, problems)
        for key, seen in (("session", sessions), ("name", names)):
            if values.get(key):
                seen.setdefault(values[key], node.value[key].line)
        if values.get("mode") == "forward" and values.get("transform"):
            problems.add(NO_TRANSFORM, node.value["transform"].line, field="transform")
        if values.get("mode") == "forward" and "edits" in (values.get("sync") or ()):
            problems.add(NO_EDITS, node.value["sync"].line, field="sync")
        if not values.keys() >= set(REQUIRED) or len(problems) > before:
            continue
        doc = rule_doc(values)
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


def read_part(
    text: str, where: str, name: Literal["filter", "transform", "sync", "options"]
) -> Any:
    """Return a part of a rule, written in YAML as in a file; raises InputFileError."""
    problems = Problems(where)
    node = read_yaml(text, problems)
    value = PARTS[name].read(node, Place(problems, name)) if node else None
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
            found.append(PARTS[name].read(node_of(value), place) if value else None)
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
        "description": "@name, t.me link, id, invite link, me, or CHAT/TOPIC.",
    }
    chats = {"anyOf": [chat, {"type": "array", "items": chat, "minItems": 1}]}
    rule = {
        "type": "object",
        "required": list(REQUIRED),
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
                "enum": list(MODES),
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
