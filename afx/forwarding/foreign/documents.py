"""From the text of a foreign file to parts: JSON, or YAML. Size and depth are bounded."""

from __future__ import annotations

import json
import re
from typing import Any

from afx.errors import printable
from afx.forwarding.foreign.parts import INTEGER, Part, Reader
from afx.forwarding.rule_text import UNREADABLE, Node, read_yaml

LARGEST_BYTES = 1024 * 1024
_DEEPEST = 20
_MOST_DIGITS = 20
_TOO_DEEP = f"this is nested too deeply; such a file has at most {_DEEPEST} levels"
_SURROGATE = re.compile("[\ud800-\udfff]")
_TRUTHS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_NOTHING = ("", "~", "null")


def decoded(data: bytes, reader: Reader) -> str | None:
    """Return the text of a file; None after an error."""
    if len(data) > LARGEST_BYTES:
        reader.problems.add("the file has more than 1 MiB; no such configuration is so large")
        return None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        reader.problems.add("this is not UTF-8 text", data[: error.start].count(b"\n") + 1)
        return None


def read_json(text: str, reader: Reader) -> Part | None:
    """Return the root of a JSON text; None after an error that ends the reading."""
    twice: list[str] = []

    def table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                twice.append(key)
            found[key] = value
        return found

    try:
        value = json.loads(
            text,
            object_pairs_hook=table,
            # What is too long for a number stays a text, and so is refused where one is expected.
            parse_int=lambda it: int(it) if len(it) <= _MOST_DIGITS else it,
        )
    except json.JSONDecodeError as error:
        reader.problems.add(
            "this is not valid JSON; check the quotes, commas and brackets here",
            error.lineno,
            column=error.colno,
        )
        return None
    except RecursionError:
        reader.problems.add(_TOO_DEEP)
        return None
    for key in dict.fromkeys(twice):
        reader.problems.add(f"'{printable(key)}' is there twice")
    return _part_of(value, "", reader)


def read_yaml_text(text: str, reader: Reader, field: str = "") -> Part | None:
    """Return the root of a YAML text; None after an error that ends the reading.

    Tags are ignored, so nothing is made but texts, lists and mappings.
    """
    node = read_yaml(text, reader.problems)
    return None if node is None else _part_of_node(node, field)


def _part_of(value: Any, field: str, reader: Reader, depth: int = 0) -> Part:
    if depth > _DEEPEST:
        reader.problems.add(_TOO_DEEP, field=field)
        return Part(UNREADABLE, field)
    if isinstance(value, dict):
        for key in value:
            _check_text(key, field, reader)
        return Part(
            {key: _part_of(it, _at(field, key), reader, depth + 1) for key, it in value.items()},
            field,
        )
    if isinstance(value, list):
        return Part(
            [_part_of(it, f"{field}[{at}]", reader, depth + 1) for at, it in enumerate(value)],
            field,
        )
    if isinstance(value, str) and not _check_text(value, field, reader):
        return Part(UNREADABLE, field)
    return Part(value, field)


def _check_text(text: str, field: str, reader: Reader) -> bool:
    if _SURROGATE.search(text) or "\0" in text:
        reader.problems.add("this has characters that no message has", field=field or None)
        return False
    return True


def _part_of_node(node: Node, field: str) -> Part:
    value = node.value
    if isinstance(value, dict):
        found: Any = {key: _part_of_node(it, _at(field, key)) for key, it in value.items()}
    elif isinstance(value, list):
        found = [_part_of_node(it, f"{field}[{at}]") for at, it in enumerate(value)]
    elif isinstance(value, str) and node.plain:
        found = _scalar(value)
    else:
        found = value
    return Part(found, field, node.line)


def _scalar(text: str) -> Any:
    """Return what a text without quotes means in YAML 1.1."""
    word = text.lower()
    if word in _NOTHING:
        return None
    if word in _TRUTHS:
        return _TRUTHS[word]
    return int(text) if INTEGER.fullmatch(text) else text


def _at(field: str, key: str) -> str:
    name = printable(key, longest=40)
    return f"{field}.{name}" if field else name
