"""The plugins of tgcf that filter and change texts, as conditions and transforms."""

from __future__ import annotations

import re
from typing import Any

from afx.errors import printable
from afx.forwarding.foreign.drafts import (
    any_of,
    literal,
    quoted,
    replacement,
    template,
    unmarked,
    usable_pattern,
)
from afx.forwarding.foreign.parts import Effect, Part, Reader

_STYLES = ("bold", "italics", "code", "strike", "plain", "preserve")
_MEDIA = {
    "audio": ("audio",),
    "gif": ("animation",),
    "video": ("video",),
    "video_note": ("round",),
    "sticker": ("sticker",),
    "contact": ("contact",),
    "photo": ("photo",),
    "document": ("document", "voice"),
    "nofile": ("text", "location", "venue", "poll", "dice", "game", "invoice", "other"),
}
_FILTER = ("check", "users", "files", "text")
_LISTS = ("blacklist", "whitelist")
_TEXT = ("case_sensitive", "regex")
_ID = re.compile(r"-?[1-9][0-9]{0,14}", re.ASCII)


def conditions(part: Part | None, reader: Reader) -> list[Any]:
    """Return the conditions of the plugin ``filter``; all of them must be met."""
    plugin = reader.table(part)
    if not reader.truth(plugin.get("check")):
        return []
    reader.tell_others(plugin, _FILTER, Effect.DISABLED)
    for key in ("users", "files", "text"):
        known = (*_LISTS, *_TEXT) if key == "text" else _LISTS
        reader.tell_others(reader.table(plugin.get(key)), known, Effect.DISABLED)
    found: list[Any] = []
    users = reader.table(plugin.get("users"))
    found += _lists("sender", _ids, users, reader)
    found += _lists("media", _kinds, reader.table(plugin.get("files")), reader)
    text = reader.table(plugin.get("text"))
    is_exact = reader.truth(text.get("case_sensitive"))
    if reader.truth(text.get("regex")) or is_exact:
        is_regex = reader.truth(text.get("regex"))

        def pattern(it: Part, value: str, reader: Reader) -> list[Any]:
            made = value if is_regex else quoted(value)
            usable = usable_pattern(it, made, reader, ignore_case=not is_exact)
            return [] if usable is None else [usable]

        return found + _lists("regex", pattern, text, reader)
    return found + _lists("contains", _texts, text, reader)


def _lists(name: str, read: Any, table: dict[str, Part], reader: Reader) -> list[Any]:
    """Return the conditions of a blacklist and a whitelist."""
    found: list[Any] = []
    for key in _LISTS:
        values = [
            it for part, text in reader.texts(table.get(key)) for it in read(part, text, reader)
        ]
        if values:
            condition = any_of(name, list(dict.fromkeys(values)))
            found.append({"not": condition} if key == "blacklist" else condition)
    return found


def _texts(part: Part, text: str, reader: Reader) -> list[Any]:
    if text:
        return [text]
    reader.note(part, "an empty text is in every message; it was left out", Effect.DISABLED)
    return []


def _ids(part: Part, text: str, reader: Reader) -> list[Any]:
    if _ID.fullmatch(text):
        return [int(text)]
    reader.note(
        part,
        f"'{printable(text, longest=40)}' is no id, so that tgcf found it in no message; give "
        "the sender's id, and enable the rules",
        Effect.DISABLED,
    )
    return []


def _kinds(part: Part, text: str, reader: Reader) -> list[Any]:
    if kinds := _MEDIA.get(text):
        return list(kinds)
    reader.fail(part, f"'{printable(text)}' is none of {', '.join(_MEDIA)}")
    return []


def transforms(plugins: dict[str, Part], reader: Reader) -> list[Any]:
    """Return the changes of texts, in tgcf's order: format, replace, caption."""
    found: list[Any] = []
    style = reader.table(plugins.get("fmt"))
    if reader.truth(style.get("check")):
        word = reader.choice(style.get("style"), _STYLES, "preserve")
        if word == "plain":
            found.append({"strip": ["formatting"]})
        elif word != "preserve":
            found.append({"style": ["italic" if word == "italics" else word]})
    replace = reader.table(plugins.get("replace"))
    if reader.truth(replace.get("check")):
        found += _replacements(replace, reader)
    caption = reader.table(plugins.get("caption"))
    if reader.truth(caption.get("check")):
        texts = (reader.text(caption.get(it)) or "" for it in ("header", "footer"))
        header, footer = map(literal, texts)
        if header or footer:
            part = plugins["caption"]
            found.append({"text": template(part, f"{header}{{text}}{footer}", reader)})
    return found


def _replacements(plugin: dict[str, Part], reader: Reader) -> list[Any]:
    is_regex = reader.truth(plugin.get("regex"))
    found: list[Any] = []
    for old, part in reader.table(plugin.get("text")).items():
        new = reader.text(part) or ""
        if not old:
            reader.note(part, "an empty text cannot be replaced; it was left out", Effect.DISABLED)
        elif not is_regex:
            new, is_marked = unmarked(new)
            found.append({"replace": {"text": [old], "with": new}})
            if is_marked:
                reader.note(part, "transforms have no Markdown; its marks were removed")
        elif new in _STYLES:
            reader.note(part, f"no transform makes a text {new}; it was left out")
        elif (made := replacement(new)) is None:
            reader.note(
                part,
                "its replacement has an escape that is not known here; write the rule's "
                "transform anew, and enable the rules",
                Effect.DISABLED,
            )
        elif pattern := usable_pattern(part, old, reader, ignore_case=False):
            found.append({"regex": {"pattern": pattern, "with": made}})
    return found
