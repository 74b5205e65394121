"""The schema of rule files as a person reads it: a row for each field, with what it takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Schema = Mapping[str, Any]
_DAY, _HOUR, _MINUTE = 86_400, 3_600, 60
_KINDS = {"condition": "conditions", "transform": "transforms"}


@dataclass(slots=True, frozen=True)
class FieldRow:
    """One field."""

    name: str
    """With the names around it: ``dedupe.window``."""
    takes: str
    """What may be its value."""
    about: str
    required: bool = False


@dataclass(slots=True, frozen=True)
class Section:
    """The fields of one place."""

    name: str
    title: str
    about: str
    rows: Sequence[FieldRow]


def reference(schema: Schema) -> tuple[Section, ...]:
    """Return the sections of the schema of rule files."""
    parts = schema["$defs"]
    rule = dict(parts["rule"]["properties"])
    options = rule.pop("options")
    required = frozenset(parts["rule"]["required"])
    return (
        Section(
            "fields",
            "Fields",
            "Of each rule in a file, below the list rules.",
            tuple(_rows("", rule, required)),
        ),
        Section(
            "conditions",
            "Conditions",
            f"In filter, and in when of alerts. {parts['condition'].get('description', '')}",
            tuple(_of(parts["condition"])),
        ),
        Section(
            "transforms",
            "Transforms",
            f"In transform. {parts['transform'].get('description', '')}",
            tuple(_of(parts["transform"])),
        ),
        Section("options", "Options", str(options.get("description", "")), tuple(_of(options))),
    )


def takes(schema: Schema) -> str:
    """Return in words what a schema takes."""
    if reference := schema.get("$ref"):
        return _KINDS.get(str(reference).rpartition("/")[2], "a table")
    if words := schema.get("enum"):
        return _either([str(it) for it in words])
    if choices := schema.get("anyOf"):
        return _choice(choices)
    kinds = schema.get("type", "object")
    if kinds == "boolean":
        return "true or false"
    if kinds == "array":
        return f"a list: {takes(schema['items'])}"
    if kinds == "object":
        return "a table" if "properties" in schema else "a table of names and texts"
    if "pattern" in schema:
        return f"a time, {_time(schema['minimum'])} to {_time(schema['maximum'])}"
    if kinds in ("integer", "number") or kinds == ["integer", "string"]:
        return f"a number{_span(schema)}"
    most = schema.get("maxLength")
    return f"a text of up to {most:,} characters" if most else "a text"


def _of(schema: Schema, around: str = "") -> Iterator[FieldRow]:
    """Yield the rows of a table, or of the table among several forms."""
    table = _table(schema)
    if table is not None:
        yield from _rows(around, table["properties"], frozenset(table.get("required", ())))


def _rows(around: str, fields: Schema, required: frozenset[str]) -> Iterator[FieldRow]:
    for name, schema in fields.items():
        path = f"{around}{name}"
        about = str(schema.get("description", ""))
        if "default" in schema:
            default = schema["default"]
            shown = str(default).lower() if isinstance(default, bool) else default
            about = f"{about} Default: {shown}.".strip()
        yield FieldRow(path, takes(schema), about, name in required)
        yield from _of(schema, f"{path}.")


def _table(schema: Schema) -> Schema | None:
    forms = schema.get("anyOf", (schema,))
    for it in forms:
        if "properties" in it:
            return it if isinstance(it, Mapping) else None
        if "anyOf" in it and (found := _table(it)) is not None:
            return found
    return None


def _choice(forms: Sequence[Schema]) -> str:
    """Return several forms in words; a list of what stands before it is no form of its own."""
    said: list[str] = []
    for it in forms:
        if it.get("type") == "array" and said and takes(it["items"]) == said[-1]:
            said[-1] = f"{said[-1]}; or a list of them"
            continue
        said.append(takes(it))
    return "; or ".join(dict.fromkeys(said))


def _either(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _span(schema: Schema) -> str:
    least, most = schema.get("minimum"), schema.get("maximum")
    if least is None or most is None:
        return ""
    return f", {least:,} to {most:,}"


def _time(seconds: int) -> str:
    for unit, name in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "m")):
        if seconds >= unit and seconds % unit == 0:
            return f"{seconds // unit}{name}"
    return f"{seconds}s"
