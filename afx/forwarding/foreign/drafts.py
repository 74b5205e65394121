"""Rules as they are made from a foreign file: names, chats, conditions and texts."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from afx.errors import InputFileError, UsageError, printable
from afx.forwarding import markup, patterns
from afx.forwarding.foreign.parts import Effect, Part, Reader
from afx.forwarding.rule_docs import RuleDoc
from afx.forwarding.rulefile import LARGEST_BYTES, checked
from afx.forwarding.rules import chat_reference

MOST_RULES = 1_000
_LONGEST_NAME = 100
_MOST_PATTERNS, _MOST_TEXTS = 20, 500
_CHANNEL_LINK = re.compile(r"(?:https?://)?t\.me/c/([0-9]{1,15})(?:/.*)?", re.ASCII)
_BARE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{3,31}", re.ASCII)
_TOPIC = re.compile(r"-?[0-9]+#[0-9]+", re.ASCII)
_MARKED_LINK = re.compile(r"\[([^\[\]\n]{1,500})\]\(([^()\n]{1,500})\)")
_MARKED = re.compile(r"(\*\*|__|~~|`)([^\n]{1,1000}?)\1")
_NESTED_MARKS = 4
_LONGEST_MARKED = 4_096


@dataclass(slots=True)
class Draft:
    """A rule that is being made."""

    name: str
    sources: list[str]
    destinations: list[str]
    mode: str = "copy"
    enabled: bool = True
    conditions: list[Any] = field(default_factory=list)
    """All of them must be met."""
    transform: list[Any] = field(default_factory=list)
    sync: list[str] = field(default_factory=list)


def finished(
    drafts: Sequence[tuple[Part, Draft]], session: str, reader: Reader
) -> tuple[RuleDoc, ...]:
    """Return the rules of drafts, each with a name of its own; notes what a rule cannot have."""
    if len(drafts) > MOST_RULES:
        reader.problems.add(f"the file makes more than {MOST_RULES} rules; split it")
        return ()
    names: set[str] = set()
    made: dict[tuple[int, int, str], tuple[dict[str, Any], list[Any]] | InputFileError] = {}
    sizes: dict[tuple[int, int, str], int] = {}
    size = 0
    found = []
    for part, it in drafts:
        name = _unique(it.name, names)
        # Many rules may share a large filter, which is checked once.
        key = id(it.conditions), id(it.transform), it.mode
        if key not in made:
            made[key] = _checked(it, reader)
        parts = made[key]
        if isinstance(parts, InputFileError):
            for problem in parts.problems:
                reader.fail(part, f"its {problem.field or 'rule'} cannot be one: {problem.message}")
            continue
        filter_, transform = parts
        size += sizes.setdefault(key, len(json.dumps(parts)))
        if size > LARGEST_BYTES:
            reader.fail(part, "the rules would be larger than a rule file may be; split the file")
            return ()
        found.append(
            RuleDoc(
                session,
                name,
                tuple(dict.fromkeys(it.sources)),
                tuple(dict.fromkeys(it.destinations)),
                it.mode,
                it.enabled,
                filter_,
                tuple(transform),
                tuple(it.sync),
            )
        )
    return tuple(found)


def _checked(draft: Draft, reader: Reader) -> tuple[dict[str, Any], list[Any]] | InputFileError:
    """Return a draft's filter and transforms in their plain form, or what is wrong with them."""
    of = draft.conditions
    conditions = (of[0] if len(of) == 1 else {"all": of}) if of else None
    try:
        return checked(conditions, draft.transform, draft.mode, reader.problems.where)
    except InputFileError as error:
        return error


def name_of(text: str | None, otherwise: str) -> str:
    """Return a name that a rule may have."""
    clean = "".join(it for it in text or "" if it.isprintable()).strip().lstrip("-").strip()
    if not clean or (clean.isascii() and clean.isdecimal()):
        return f"{otherwise} {clean}".strip()[:_LONGEST_NAME].strip()
    return clean[:_LONGEST_NAME].strip()


def route_name(origin: str, sources: Iterable[Part], destinations: Iterable[Part]) -> str:
    """Return a name for a rule that has none: the same for the same chats, in any file.

    A number would let the rules of a second file replace those of the first.
    """
    chats_ = [[str(it.value) for it in parts] for parts in (sources, destinations)]
    return f"{origin}-{hashlib.sha256(repr(chats_).encode()).hexdigest()[:8]}"


def _unique(name: str, names: set[str]) -> str:
    found, number = name, 1
    while found in names:
        number += 1
        ending = f" {number}"
        found = f"{name[: _LONGEST_NAME - len(ending)]}{ending}"
    names.add(found)
    return found


def chats(parts: Iterable[Part], reader: Reader, rule: str) -> list[str]:
    """Return chats as rules have them; notes those that cannot be one."""
    found = []
    for part in parts:
        text = reader.text(part)
        if text is None:
            continue
        try:
            found.append(_chat(text.strip()))
        except UsageError as error:
            reader.note(part, str(error), Effect.LEFT_OUT, rule=rule)
    return found


def _chat(text: str) -> str:
    """Return a chat as rules have it; raises UsageError with what to do instead."""
    shown = printable(text, longest=40)
    if _TOPIC.fullmatch(text):
        text = text.replace("#", "/")
    if found := _CHANNEL_LINK.fullmatch(text):
        return f"-100{int(found[1])}"
    try:
        return chat_reference(f"@{text}" if _BARE_NAME.fullmatch(text) else text)
    except UsageError:
        what = "rules name chats by @name or id; let the account join the chat, and give its id"
        raise UsageError(f"'{shown}' was left out, since {what}") from None


def any_of(name: str, values: Sequence[str]) -> Any:
    """Return the condition that one of the values is met."""
    most = _MOST_PATTERNS if name == "regex" else _MOST_TEXTS
    groups = [{name: list(values[at : at + most])} for at in range(0, len(values), most)]
    return groups[0] if len(groups) == 1 else {"any": groups}


def usable_pattern(
    part: Part, pattern: str, reader: Reader, *, ignore_case: bool, rule: str = ""
) -> str | None:
    """Return a regular expression for RE2; None, and a note, when it cannot be one."""
    made = f"(?i){pattern}" if ignore_case else pattern
    wrong = "this is too long" if len(made) > patterns.LONGEST else patterns.wrong_with(made)
    if not pattern:
        wrong = "an empty regular expression matches everything"
    if wrong:
        reader.note(
            part,
            f"'{printable(pattern, longest=40)}' was left out: {wrong}; write it in another way, "
            "and enable the rule",
            Effect.DISABLED,
            rule=rule,
        )
        return None
    return made


def quoted(text: str) -> str:
    """Return the regular expression of RE2 that matches a text itself."""
    return "".join(
        it if it.isalnum() or it in " _" or not it.isascii() else _escaped(it) for it in text
    )


def _escaped(character: str) -> str:
    return f"\\{character}" if character.isprintable() else f"\\x{ord(character):02x}"


def replacement(text: str) -> str | None:
    """Return the replacement of a ``re.sub`` as transforms write it; None: it cannot be one.

    Groups are ``\\1`` or ``\\g<name>`` in both; ``\\n`` and the like are the characters here.
    """
    plain = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\\\"}
    found: list[str] = []
    at = 0
    while at < len(text):
        if text[at] != "\\":
            found.append(text[at])
            at += 1
            continue
        rest = text[at + 1 :]
        if group := re.match(r"g<(\w{1,50})>|([1-9][0-9]?)", rest, re.ASCII):
            name = group[1] or group[2]
            if name.isdecimal() and len(name) > 1:
                return None  # transforms know nine groups without a name
            found.append(f"\\{name}" if name.isdecimal() else f"\\g<{name}>")
            at += 1 + group.end()
        elif rest[:1] in plain:
            found.append(plain[rest[0]])
            at += 2
        else:
            return None
    return "".join(found)


def unmarked(text: str) -> tuple[str, bool]:
    """Return a text without the marks of Markdown, and whether it had any.

    One that is longer than any message stays as it is: no transform takes it.
    """
    if len(text) > _LONGEST_MARKED:
        return text, False
    plain = _MARKED_LINK.sub(
        lambda it: it[2] if it[1] in (it[2], "{channel_name}") else f"{it[1]} ({it[2]})", text
    )
    for _ in range(_NESTED_MARKS):
        plain = _MARKED.sub(r"\2", plain)
    return plain, plain != text


def template(part: Part, text: str, reader: Reader, rule: str = "") -> Any:
    """Return a text with fields as a template, with its Markdown if it has any."""
    plain, is_marked = unmarked(text)
    if not is_marked:
        return plain
    if len(text) <= _LONGEST_MARKED and markup.wrong_with(text) is None:
        return {"markdown": text}
    reader.note(part, "its Markdown cannot be a template's; its marks were removed", rule=rule)
    return plain


def literal(text: str) -> str:
    """Return a text for a template, in which braces mean fields."""
    return text.replace("{", "{{").replace("}", "}}")
