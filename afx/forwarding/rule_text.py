"""From the text of a rule file to nodes that know their lines: YAML (so JSON too) and TOML.

Errors of the parsing libraries are translated here: no message has their words.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import yaml

from afx import bounded_toml
from afx.bounded_toml import TomlDepthError
from afx.errors import FileProblem, InputFileError, printable

_DEEPEST = 20
_TOO_DEEP = f"this is nested too deeply; a rule file has at most {_DEEPEST} levels"
_NOT_IN_YAML = re.compile(
    "[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)
_POSITION = re.compile(r"line (\d+), column (\d+)")


class Unreadable:
    """The value of a node whose error has been noted; nothing more is said about it."""


UNREADABLE: Final = Unreadable()


@dataclass(slots=True, frozen=True)
class Node:
    """A part of a file and its line.

    The value is a text, a dict or a list of nodes, or ``UNREADABLE``; a scalar is
    ``plain`` when the file has it without quotes.
    """

    value: Any
    line: int
    plain: bool = False


class Problems:
    """The errors of one file, as they are found."""

    def __init__(self, where: str) -> None:
        self.where = where
        self._found: list[FileProblem] = []

    def __len__(self) -> int:
        return len(self._found)

    def add(
        self,
        message: str,
        line: int | None = None,
        *,
        column: int | None = None,
        field: str | None = None,
    ) -> None:
        """Note an error."""
        self._found.append(FileProblem(message, line, column, field))

    def all(self) -> tuple[FileProblem, ...]:
        """Return what has been noted."""
        return tuple(self._found)

    def check(self) -> None:
        """Raise InputFileError if there is any error."""
        if self._found:
            raise InputFileError(self.where, self._found)


def read_yaml(text: str, problems: Problems) -> Node | None:
    """Return the root node, or None after an error that ends the reading."""
    return _YamlReader(text, problems).read()


def read_toml(text: str, problems: Problems) -> Node | None:
    """Return the root node, or None after an error; a rule's line is that of its ``[[rules]]``."""
    try:
        tables = bounded_toml.loads(text)
    except tomllib.TOMLDecodeError as error:
        line, column = _toml_position(error)
        problems.add(
            "this is not valid TOML; check the quotes, brackets and keys here", line, column=column
        )
        return None
    except TomlDepthError as error:
        problems.add(_TOO_DEEP, error.line)
        return None
    lines = [
        line
        for line, content in enumerate(text.splitlines(), 1)
        if content.strip().replace(" ", "").startswith("[[rules]]")
    ]
    root = {key: _toml_node(value, 1, problems) for key, value in tables.items()}
    rules = tables.get("rules")
    if isinstance(rules, list) and len(rules) == len(lines):
        nodes = [
            _toml_node(it, line, problems, depth=1) for it, line in zip(rules, lines, strict=True)
        ]
        root["rules"] = Node(nodes, 1)
    return Node(root, 1)


class _YamlReader:
    """Builds nodes from YAML's events: no recursion, no tags, no aliases."""

    def __init__(self, text: str, problems: Problems) -> None:
        self._text = text
        self._problems = problems
        self._open: list[tuple[type[yaml.Event], int, list[Node]]] = []
        self._root: Node | None = None
        self._position = 0

    def read(self) -> Node | None:
        if bad := _NOT_IN_YAML.search(self._text):
            line = self._text.count("\n", 0, bad.start()) + 1
            self._problems.add(f"YAML does not allow the character U+{ord(bad[0]):04X}", line)
            return None
        try:
            for event in yaml.parse(self._text, Loader=yaml.CSafeLoader):
                self._position = event.start_mark.index if event.start_mark else self._position
                if not self._take(event):
                    return None
        except yaml.YAMLError as error:
            self._translate(error)
            return None
        if self._root is None:
            self._problems.add("the file is empty; begin it with 'rules:'")
        return self._root

    def _take(self, event: yaml.Event) -> bool:
        """Add an event to the nodes; False when nothing more can be read."""
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            if len(self._open) >= _DEEPEST:
                self._problems.add(_TOO_DEEP, line)
                return False
            self._open.append((type(event), line, []))
        elif isinstance(event, yaml.ScalarEvent):
            self._add(Node(event.value, line, plain=event.implicit[0]))
        elif isinstance(event, yaml.AliasEvent):
            self._problems.add("aliases (*name) are not supported; repeat the value", line)
            self._add(Node(UNREADABLE, line))
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            kind, begin, parts = self._open.pop()
            mapping = kind is yaml.MappingStartEvent
            self._add(Node(self._mapping(parts) if mapping else parts, begin))
        elif isinstance(event, yaml.DocumentStartEvent) and self._root is not None:
            self._problems.add("a second document begins; a rule file has one", line)
            return False
        return True

    def _add(self, node: Node) -> None:
        if self._open:
            self._open[-1][2].append(node)
        else:
            self._root = node

    def _mapping(self, parts: list[Node]) -> dict[str, Node]:
        mapping: dict[str, Node] = {}
        for key, value in zip(parts[::2], parts[1::2], strict=True):
            if key.value is UNREADABLE:
                continue
            if not isinstance(key.value, str):
                self._problems.add("a key is not a text", key.line)
            elif key.value in mapping:
                self._problems.add(f"'{printable(key.value)}' is there twice", key.line)
            else:
                mapping[key.value] = value
        return mapping

    def _translate(self, error: yaml.YAMLError) -> None:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        if mark is None:
            self._problems.add("this is not valid YAML")
            return
        # The library scans a line ahead of its events and may refuse the depth before we do.
        scanned = self._text[self._position : mark.index]
        ahead = sum(map(scanned.count, "[{")) - sum(map(scanned.count, "]}"))
        lines = self._text.splitlines()
        content = lines[mark.line] if mark.line < len(lines) else ""
        indentation = content[: len(content) - len(content.lstrip())]
        if len(self._open) + ahead > _DEEPEST:
            message = _TOO_DEEP
        elif "\t" in indentation:
            message = "YAML does not allow tabs in the indentation; use spaces"
        else:
            message = (
                "this is not valid YAML; check the indentation, brackets and quotes, "
                "here and in the line before"
            )
        self._problems.add(message, mark.line + 1, column=mark.column + 1)


def _toml_position(error: tomllib.TOMLDecodeError) -> tuple[int | None, int | None]:
    """Return line and column: attributes from Python 3.14 on, before that only in the text."""
    if isinstance(line := getattr(error, "lineno", None), int):
        return line, getattr(error, "colno", None)
    found = _POSITION.search(str(error))
    return (int(found[1]), int(found[2])) if found else (None, None)


def _toml_node(value: Any, line: int, problems: Problems, depth: int = 0) -> Node:
    if depth > _DEEPEST:
        problems.add(_TOO_DEEP, line)
        return Node(UNREADABLE, line)
    if isinstance(value, Mapping):
        return Node(
            {key: _toml_node(it, line, problems, depth + 1) for key, it in value.items()}, line
        )
    if isinstance(value, list):
        return Node([_toml_node(it, line, problems, depth + 1) for it in value], line)
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return Node(text, line, plain=not isinstance(value, str))
