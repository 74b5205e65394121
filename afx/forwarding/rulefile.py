"""Rules as a file that people write: YAML, TOML or JSON; reading, diff, writing.

    rules:
      - session: main
        name: news
        from: ["@the_news"]
        to: ["@my_copies", -1001234567890]
        mode: copy          # or forward
        enabled: true

All errors name the file and the line.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import yaml

from afx.errors import UsageError
from afx.forwarding.rules import chat_reference

LARGEST_BYTES = 4 * 1024 * 1024
_DEEPEST = 20
_KEYS = ("session", "name", "from", "to", "mode", "enabled")
_MODES = ("copy", "forward")
_WORDS = {"true": True, "false": False}


@dataclass(slots=True, frozen=True)
class RuleDoc:
    """One rule as a file says it."""

    session: str
    name: str
    sources: tuple[str, ...]
    destinations: tuple[str, ...]
    mode: str = "copy"
    enabled: bool = True

    @property
    def path(self) -> str:
        """``SESSION/NAME``, by which people know it."""
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
        held = self.after or self.before
        assert held is not None
        return held.path


@dataclass(slots=True, frozen=True)
class _Node:
    """A piece of a file and its line; scalars are texts, or None."""

    value: Any
    line: int
    plain: bool = False


def parse(data: bytes, where: str) -> list[RuleDoc]:
    """Read a rule file; TOML when ``where`` ends so, else YAML, which JSON is too.

    Raises UsageError naming ``where`` and the line of the first mistake.
    """
    if len(data) > LARGEST_BYTES:
        raise UsageError(f"{where} has more than {LARGEST_BYTES // 1024 // 1024} MiB; split it.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise UsageError(f"{where}, line {line}: that is no UTF-8 text.") from error
    read = _read_toml if where.lower().endswith(".toml") else _read_yaml
    found: list[RuleDoc] = []
    lines: dict[str, int] = {}
    for node in _rules_of(read(text, where), where):
        doc = _rule(node, where)
        if doc.path in lines:
            raise _error(
                where, node.line, f"rule '{doc.path}' is there already, in line {lines[doc.path]}"
            )
        lines[doc.path] = node.line
        found.append(doc)
    return found


def diff(wanted: Sequence[RuleDoc], held: Iterable[RuleDoc], *, prune: bool) -> list[Change]:
    """Return what makes the stored rules those of the file, in the file's order.

    With ``prune``, stored rules that the file does not name are removed.
    """
    before = {it.path: it for it in held}
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
        held = [
            {
                "session": it.session,
                "name": it.name,
                "from": list(it.sources),
                "to": list(it.destinations),
                "mode": it.mode,
                "enabled": it.enabled,
            }
        ]
        yield yaml.safe_dump(held, sort_keys=False, allow_unicode=True, width=1000)
    if empty:
        yield "rules: []\n"


def renamed(doc: RuleDoc, session: str) -> RuleDoc:
    """Return a rule under its session's full name."""
    return replace(doc, session=session)


# --- from text to nodes ---------------------------------------------------------------


def _read_yaml(text: str, where: str) -> _Node:
    """Build nodes from YAML's events: no recursion, no tags, no aliases."""
    root: _Node | None = None
    stack: list[tuple[Any, int, list[_Node]]] = []
    try:
        for event in yaml.parse(text, Loader=yaml.CSafeLoader):
            mark = getattr(event, "start_mark", None)
            line = mark.line + 1 if mark else 1
            if isinstance(event, yaml.AliasEvent):
                raise _error(where, line, "aliases (*name) are not taken; write it out")
            if isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
                if len(stack) >= _DEEPEST:
                    raise _error(where, line, "this is nested too deeply")
                stack.append((type(event), line, []))
                continue
            if isinstance(event, yaml.ScalarEvent):
                node = _Node(event.value, line, plain=event.implicit[0])
            elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
                kind, begun, parts = stack.pop()
                held: Any = parts
                if kind is yaml.MappingStartEvent:
                    held = _mapping(parts, where)
                node = _Node(held, begun)
            elif isinstance(event, yaml.DocumentStartEvent) and root is not None:
                raise _error(where, line, "one document is taken, here begins a second")
            else:
                continue
            if stack:
                stack[-1][2].append(node)
            else:
                root = node
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _error(where, mark.line + 1 if mark else 1, f"no YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise UsageError(f"{where} is no YAML: {str(error).splitlines()[0]}.") from error
    if root is None:
        raise UsageError(f"{where} is empty; begin it with 'rules:'.")
    return root


def _mapping(parts: list[_Node], where: str) -> dict[str, _Node]:
    held: dict[str, _Node] = {}
    for key, value in zip(parts[::2], parts[1::2], strict=True):
        if not isinstance(key.value, str):
            raise _error(where, key.line, "a key is a word")
        if key.value in held:
            raise _error(where, key.line, f"'{_shown(key.value)}' is there twice")
        held[key.value] = value
    return held


def _read_toml(text: str, where: str) -> _Node:
    """Build nodes from TOML; a rule's line is that of its ``[[rules]]``."""
    try:
        held = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{where} is no TOML: {error}.") from error
    except RecursionError as error:
        raise UsageError(f"{where} is nested too deeply.") from error
    begins = [
        number
        for number, line in enumerate(text.splitlines(), 1)
        if line.strip().replace(" ", "").startswith("[[rules]]")
    ]

    def node(value: Any, line: int, depth: int = 0) -> _Node:
        if depth > _DEEPEST:
            raise _error(where, line, "this is nested too deeply")
        if isinstance(value, dict):
            return _Node({k: node(v, line, depth + 1) for k, v in value.items()}, line)
        if isinstance(value, list):
            return _Node([node(it, line, depth + 1) for it in value], line)
        plain = not isinstance(value, str)
        return _Node(str(value).lower() if isinstance(value, bool) else str(value), line, plain)

    whole = {k: node(v, 1) for k, v in held.items()}
    rules = held.get("rules")
    if isinstance(rules, list) and len(rules) == len(begins):
        whole["rules"] = _Node([node(it, n) for it, n in zip(rules, begins, strict=True)], 1)
    return _Node(whole, 1)


# --- from nodes to rules -------------------------------------------------------------------


def _rules_of(root: _Node, where: str) -> list[_Node]:
    if not isinstance(root.value, dict) or "rules" not in root.value:
        raise _error(where, root.line, "the file has no 'rules:'")
    for key, node in root.value.items():
        if key != "rules":
            raise _error(where, node.line, f"'{_shown(key)}' is not known here; only 'rules' is")
    rules = root.value["rules"]
    if not isinstance(rules.value, list):
        raise _error(where, rules.line, "'rules' is not a list")
    return list(rules.value)


def _rule(node: _Node, where: str) -> RuleDoc:
    held = node.value
    if not isinstance(held, dict):
        raise _error(where, node.line, "a rule has keys: " + ", ".join(_KEYS))
    for key, value in held.items():
        if key not in _KEYS:
            raise _error(
                where, value.line, f"'{_shown(key)}' is not known; a rule has {', '.join(_KEYS)}"
            )
    for key in ("session", "name", "from", "to"):
        if key not in held:
            raise _error(where, node.line, f"the rule has no '{key}'")
    mode = _text(held["mode"], "mode", where) if "mode" in held else "copy"
    if mode not in _MODES:
        raise _error(
            where, held["mode"].line, f"there is no mode '{_shown(mode)}'; use copy or forward"
        )
    return RuleDoc(
        _text(held["session"], "session", where),
        _text(held["name"], "name", where),
        _chats(held["from"], "from", where),
        _chats(held["to"], "to", where),
        mode,
        _truth(held["enabled"], where) if "enabled" in held else True,
    )


def _text(node: _Node, key: str, where: str) -> str:
    if not isinstance(node.value, str) or not node.value:
        raise _error(where, node.line, f"'{key}' is not a text")
    if not node.value.isprintable() or len(node.value) > 100:
        raise _error(where, node.line, f"'{key}' is too long, or cannot be printed")
    return node.value


def _chats(node: _Node, key: str, where: str) -> tuple[str, ...]:
    nodes = node.value if isinstance(node.value, list) else [node]
    if not nodes:
        raise _error(where, node.line, f"'{key}' names no chat")
    found: dict[str, None] = {}
    for it in nodes:
        if not isinstance(it.value, str):
            raise _error(where, it.line, f"'{key}' is a chat or a list of chats")
        try:
            found[chat_reference(it.value)] = None
        except UsageError as error:
            raise _error(where, it.line, str(error).rstrip(".")) from error
    return tuple(found)


def _truth(node: _Node, where: str) -> bool:
    if not isinstance(node.value, str) or not node.plain or node.value not in _WORDS:
        raise _error(where, node.line, "'enabled' is true or false")
    return _WORDS[node.value]


def _error(where: str, line: int, what: str) -> UsageError:
    return UsageError(f"{where}, line {line}: {what}; nothing was changed.")


def _shown(text: str) -> str:
    clean = "".join(it if it.isprintable() else "�" for it in text)
    return clean if len(clean) <= 60 else clean[:59] + "…"
