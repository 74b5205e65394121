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
    if "properties" not in part:
        return {} if part.get("type") == "object" else None
    required = part.get("required", ())
    return {
        name: example_of(schema, it)
        for name, it in part["properties"].items()
        if name in required or it.get("examples")
    }
