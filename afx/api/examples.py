"""Whole examples of the bodies that requests have, made of those of their fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]


def add_examples(schema: dict[str, Any]) -> None:
    """Give each body of a schema of OpenAPI an example: what is required, what has one."""
    for methods in schema["paths"].values():
        for it in methods.values():
            for content in it.get("requestBody", {}).get("content", {}).values():
                content.setdefault("example", example_of(schema, content.get("schema", {})))


def example_of(schema: Schema, part: Schema) -> Any:
    """Return an example of a part of a schema."""
    while reference := part.get("$ref"):
        name = str(reference).rpartition("/")[2]
        part = schema["components"]["schemas"][name]
    if examples := part.get("examples"):
        return examples[0]
    if words := part.get("enum"):
        return words[0]
    if "default" in part:
        return part["default"]
    if forms := part.get("anyOf"):
        return example_of(schema, forms[0])
    if "properties" not in part:
        return _plain(schema, part)
    required = part.get("required", ())
    return {
        name: example_of(schema, it)
        for name, it in part["properties"].items()
        if name in required or it.get("examples")
    }


def _plain(schema: Schema, part: Schema) -> Any:
    """Return a value of a type: what is required, and has no example of its own."""
    kind = part.get("type", "null")
    if kind in ("integer", "number"):
        return part.get("minimum", 1)
    if kind == "array":
        return [example_of(schema, part["items"])] * int(part.get("minItems", 0))
    return {"string": "text", "boolean": False, "object": {}}.get(kind)
