"""The ``.env`` file of telemirror: CHAT_MAPPING with its flags, or YAML in a variable."""

from __future__ import annotations

import re

from afx.errors import printable
from afx.forwarding.foreign.documents import read_yaml_text
from afx.forwarding.foreign.parts import Part, Reader

_TRUE = ("true", "yes", "on", "1")
_FALSE = ("", "false", "no", "off", "0")
_FLAGS = ("DISABLE_EDIT", "DISABLE_DELETE", "REMOVE_URLS")
_DEVICE = ("API_SYSTEM_VERSION", "API_DEVICE_MODEL", "API_APP_VERSION")
_LINE = re.compile(r"\s*(?:export\s+)?([A-Z][A-Z0-9_]{0,60})\s*=\s*(.*)", re.ASCII)
_CHAT = re.compile(r"-?[0-9]{1,19}(?:#[0-9]{1,19})?", re.ASCII)


def read_env(text: str, reader: Reader) -> Part | None:
    """Return the mapping that an ``.env`` file of telemirror has; None after an error."""
    variables = _variables(text)
    for name in ("SESSION_STRING", "API_HASH"):
        if it := variables.get(name):
            reader.note(
                Part(None, name, it.line),
                "logins are no part of rules; add the account with 'afx session login', or its "
                "session string with 'afx session import'",
            )
            break
    if any(it.value for name in _DEVICE if (it := variables.get(name))):
        reader.note(Part(None, _DEVICE[1]), "each session has one device identity of its own")
    if (it := variables.get("YAML_CONFIG_ENV")) and it.value:
        return read_yaml_text(it.value.replace("\\n", "\n"), reader, "YAML_CONFIG_ENV")
    mapping = variables.get("CHAT_MAPPING")
    if mapping is None or not mapping.value.strip():
        reader.problems.add("the file has neither CHAT_MAPPING nor YAML_CONFIG_ENV")
        return None
    flags = {name: _flag(variables.get(name), reader) for name in _FLAGS}
    root: dict[str, Part] = {
        "directions": Part(_directions(mapping, reader), "CHAT_MAPPING", mapping.line),
        "disable_edit": Part(flags["DISABLE_EDIT"], "DISABLE_EDIT"),
        "disable_delete": Part(flags["DISABLE_DELETE"], "DISABLE_DELETE"),
    }
    if flags["REMOVE_URLS"]:
        lists = {
            key: _list(variables.get(name))
            for key, name in (("blacklist", "REMOVE_URLS_LIST"), ("whitelist", "REMOVE_URLS_WL"))
        }
        filters = {"UrlMessageFilter": Part(lists, "REMOVE_URLS")}
        root["filters"] = Part([Part(filters, "REMOVE_URLS")], "REMOVE_URLS")
    return Part(root)


def _variables(text: str) -> dict[str, Part]:
    """Return the variables of a file; a value in quotes may have several lines."""
    found: dict[str, Part] = {}
    lines = iter(enumerate(text.splitlines(), 1))
    for number, line in lines:
        entry = _LINE.fullmatch(line)
        if entry is None:
            continue
        name, value = entry[1], entry[2].rstrip()
        if (quote := value[:1]) in ("'", '"') and quote:
            rest = [value[1:]]
            while not rest[-1].endswith(quote):
                _, following = next(lines, (0, None))
                if following is None:
                    break
                rest.append(following.rstrip())
            value = "\n".join(rest).removesuffix(quote)
        found[name] = Part(value, name, number)
    return found


def _flag(part: Part | None, reader: Reader) -> bool:
    word = part.value.strip().lower() if part else ""
    if part and word not in _TRUE and word not in _FALSE:
        reader.fail(part, "this is neither true nor false")
    return word in _TRUE


def _list(part: Part | None) -> Part:
    texts = [it.strip() for it in part.value.split(",")] if part else []
    return Part([Part(it) for it in texts if it])


def _directions(mapping: Part, reader: Reader) -> list[Part]:
    """Return the directions of ``[source,source:destination];[…]``."""
    found = []
    for number, text in enumerate(filter(None, re.split(r"[;\s]|\]\[", mapping.value))):
        field = f"CHAT_MAPPING[{number}]"
        sides = [it.split(",") for it in text.strip("[]").split(":")]
        ids = [[it for it in side if it] for side in sides]
        if len(ids) != 2 or not all(ids) or not all(_CHAT.fullmatch(i) for s in ids for i in s):
            reader.problems.add(
                f"'{printable(text, longest=40)}' is no mapping; "
                "write it as source,source:destination",
                mapping.line,
                field=field,
            )
            continue
        direction = {
            key: Part([Part(it, field, mapping.line) for it in side], field, mapping.line)
            for key, side in zip(("from", "to"), ids, strict=True)
        }
        found.append(Part(direction, field, mapping.line))
    return found
