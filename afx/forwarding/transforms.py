"""What rules change of their copies: one transform after another, entities kept exact.

    transform:
      - replace: {text: [foo, bar], with: baz}
      - strip: [links, hashtags]
      - footer: "from {link}"

A transform is a pure function of the message: a replay gives the same copy.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from afx.forwarding import patterns, utf16
from afx.forwarding.entities import (
    LARGEST,
    Edit,
    Styled,
    at,
    edited,
    joined,
    shortened,
    spans,
    trimmed,
    without,
)
from afx.forwarding.facts import CAPTIONED, Facts, kind_of
from afx.forwarding.forms import Choice, Form, Many, Pairs, Place, Schema, Table, Text, Truth, Whole
from afx.forwarding.links import rewriter
from afx.forwarding.markup import Template, filler
from afx.forwarding.rule_text import UNREADABLE, Node

LONGEST_TEXT, LONGEST_CAPTION = 4_096, 1_024
"""What Telegram takes of an ordinary account, in UTF-16 units (help.getConfig)."""
MOST_TRANSFORMS = 30
LARGEST_BYTES = 64 * 1024
LARGEST_PROGRAMS = 6_000
_MOST_EDITS = LONGEST_TEXT
FORMATTING = frozenset(
    {"Blockquote", "Bold", "Code", "CustomEmoji", "Italic", "Pre", "Spoiler", "Strike", "Underline"}
)
_STYLES = {
    "bold": "Bold",
    "italic": "Italic",
    "underline": "Underline",
    "strike": "Strike",
    "spoiler": "Spoiler",
    "code": "Code",
    "quote": "Blockquote",
}
_DELETED = {
    "links": frozenset({"Url", "Email"}),
    "mentions": frozenset({"Mention"}),
    "hashtags": frozenset({"Hashtag", "Cashtag"}),
    "formatting": frozenset[str](),
}
"""Entities whose text is deleted, by what is stripped."""
_CLEARED = {
    "links": frozenset({"TextUrl"}),
    "mentions": frozenset({"MentionName"}),
    "hashtags": frozenset[str](),
    "formatting": FORMATTING,
}
"""Entities that are removed while their text stays."""
_GROUP = re.compile(r"\\(?:([0-9])|g<(\w{1,50})>|(\\))", re.ASCII)
Change = Callable[[Styled, Facts], Styled]


@dataclass(slots=True, frozen=True)
class Kind:
    """One kind of transform: what it takes, and what it does."""

    form: Form
    compile: Callable[[Any], Change]


@dataclass(slots=True, frozen=True)
class Transform:
    """All transforms of a rule."""

    changes: tuple[tuple[str, Change], ...]

    def apply(self, facts: Facts) -> Styled | None:
        """Return a message's changed text; None when it is as it was, or can have none.

        An item of an album that has no caption gets none: clients show an album's caption
        only if one item has one. What is too long for Telegram is cut. Raises ValueError for
        a text that would have to be changed and cannot.
        """
        before = Styled(facts.text, facts.entities)
        has_text = facts.media == "text"
        can_change = has_text or facts.media in CAPTIONED
        if not has_text and not facts.text and (not can_change or facts.album):
            return None
        now = before
        for _, change in self.changes:
            now = change(now, facts)
        if now == before:
            return None
        if not can_change:
            # Paid media, for example: unchanged it would show what the rule takes away.
            raise ValueError(f"the text of {facts.media} media cannot be changed")
        return shortened(trimmed(now), LONGEST_TEXT if has_text else LONGEST_CAPTION)


# --- the kinds -----------------------------------------------------------------------------


def _replace(value: Mapping[str, Any]) -> Change:
    flags = re.IGNORECASE if value.get("ignore_case") else 0
    # Only literals: there is nothing to go back to.
    search = re.compile("|".join(map(re.escape, value["text"])), flags)
    new = value.get("with", "")

    def change(styled: Styled, _: Facts) -> Styled:
        found = search.finditer(styled.text)
        return edited(styled, _bounded(Edit(it.start(), it.end(), new) for it in found))

    return change


def _regex(value: Mapping[str, Any]) -> Change:
    pattern, new = value["pattern"], value.get("with", "")
    has_groups = "\\" in new

    def expanded(match: Any) -> str:
        return _expanded(new, match) if has_groups else new

    def change(styled: Styled, _: Facts) -> Styled:
        found = patterns.matches(pattern, styled.text)
        edits = (Edit(it.start(), it.end(), expanded(it)) for it in found if it.start() < it.end())
        return edited(styled, _bounded(edits))

    return change


def _expanded(new: str, match: Any) -> str:
    """Return a replacement with the groups of a match in it."""

    def group(it: re.Match[str]) -> str:
        return "\\" if it[3] else match.group(it[2] or int(it[1])) or ""

    return _GROUP.sub(group, new)


def _wrong_groups(value: Mapping[str, Any]) -> str | None:
    pattern = patterns.compiled(value["pattern"])
    for it in _GROUP.finditer(value.get("with", "")):
        if it[3]:
            continue
        if it[2] and it[2] not in pattern.groupindex:
            return f"the pattern has no group named {it[2]}"
        if it[1] and int(it[1]) > pattern.groups:
            return f"the pattern has no group {it[1]}"
    return None


def _bounded(edits: Iterable[Edit]) -> list[Edit]:
    """Return the first edits: those that make a text longer than it can be are not made."""
    found: list[Edit] = []
    total = 0
    for it in edits:
        total += len(it.text)
        if total > LARGEST or len(found) >= _MOST_EDITS:
            break
        found.append(it)
    return found


def _strip(value: list[str]) -> Change:
    deleted = frozenset[str]().union(*(_DELETED[it] for it in value))
    cleared = frozenset[str]().union(*(_CLEARED[it] for it in value))

    def change(styled: Styled, _: Facts) -> Styled:
        edits: list[Edit] = []
        for start, end, _entity in spans(styled, lambda it: kind_of(it) in deleted):
            edits.append(_gap(styled.text, edits[-1].end if edits else 0, start, end))
        left = without(styled, lambda it: kind_of(it) in cleared)
        return edited(left, edits)

    return change


def _gap(text: str, behind: int, start: int, end: int) -> Edit:
    """Return the deletion of a range, with one of the two spaces that it would leave."""
    before = text[start - 1] if start > behind else "\n"
    after = text[end] if end < len(text) else "\n"
    if after == " " and before in " \n":
        end += 1
    elif before == " " and after == "\n":
        start -= 1
    return Edit(start, end, "")


def _rewrite_links(value: Mapping[str, str]) -> Change:
    rewrite = rewriter(value)

    def change(styled: Styled, _: Facts) -> Styled:
        edits = [
            Edit(start, end, new)
            for start, end, _entity in spans(styled, lambda it: kind_of(it) == "Url")
            if (new := rewrite(styled.text[start:end])) is not None
        ]
        entities = tuple(
            at(it, it.offset, it.length, url=new)
            if kind_of(it) == "TextUrl" and (new := rewrite(it.url)) is not None
            else it
            for it in styled.entities
        )
        return edited(Styled(styled.text, entities), _bounded(edits))

    return change


def _rewrite_usernames(value: Mapping[str, str]) -> Change:
    names = {old.lstrip("@").casefold(): new.lstrip("@") for old, new in value.items()}
    of_links = _rewrite_links({f"t.me/{old}": f"t.me/{new}" for old, new in names.items()})

    def change(styled: Styled, facts: Facts) -> Styled:
        edits = [
            Edit(start, end, f"@{new}")
            for start, end, _entity in spans(styled, lambda it: kind_of(it) == "Mention")
            if (new := names.get(styled.text[start + 1 : end].casefold())) is not None
        ]
        return of_links(edited(styled, edits), facts)

    return change


def _around(is_header: bool) -> Callable[[str], Change]:
    def compile_around(value: str | Mapping[str, str]) -> Change:
        fill = filler(value)

        def change(styled: Styled, facts: Facts) -> Styled:
            own = fill(facts, styled)
            if not styled.text:
                return own
            pieces = (own, Styled("\n"), styled)
            return joined(pieces if is_header else pieces[::-1])

        return change

    return compile_around


def _text(value: str | Mapping[str, str]) -> Change:
    fill = filler(value)
    return lambda styled, facts: fill(facts, styled)


def _style(value: list[str]) -> Change:
    kinds = [_STYLES[it] for it in value]

    def change(styled: Styled, facts: Facts) -> Styled:
        size = utf16.length(styled.text)
        own = tuple(facts.entity(it, 0, size) for it in kinds) if size else ()
        same = (it for it in styled.entities if kind_of(it) not in kinds)
        return Styled(styled.text, (*own, *same)) if own else styled

    return change


def _truncate(value: int) -> Change:
    return lambda styled, _: shortened(styled, value)


_NEW = Text("What it is replaced by; nothing deletes it.", 4_000, may_be_empty=True)
TRANSFORMS: Mapping[str, Kind] = {
    "replace": Kind(
        Table(
            "Replace texts.",
            {
                "text": Many(Text("What is replaced.", 1_000), 100),
                "with": _NEW,
                "ignore_case": Truth("Whether upper and lower case are the same."),
            },
            ("text",),
        ),
        _replace,
    ),
    "regex": Kind(
        Table(
            "Replace what a regular expression of RE2 matches.",
            {
                "pattern": Text("The expression.", patterns.LONGEST, patterns.wrong_with),
                "with": _NEW,
            },
            ("pattern",),
            _wrong_groups,
        ),
        _regex,
    ),
    "strip": Kind(Many(Choice("What is removed.", tuple(_DELETED))), _strip),
    "rewrite_links": Kind(
        Pairs("Where links lead: the old host or address, and the new one.", 2_000), _rewrite_links
    ),
    "rewrite_usernames": Kind(
        Pairs("The old name of a user or chat, and the new one.", 40), _rewrite_usernames
    ),
    "header": Kind(Template("A line above the text."), _around(True)),
    "footer": Kind(Template("A line below the text."), _around(False)),
    "text": Kind(Template("The text in the place of the message's own."), _text),
    "style": Kind(Many(Choice("How all of the text looks.", tuple(_STYLES))), _style),
    "truncate": Kind(
        Whole("Characters that are left, as Telegram counts them.", 1, LONGEST_TEXT), _truncate
    ),
}


# --- reading and compiling -----------------------------------------------------------------


class TransformForm:
    """The form of a rule's transforms: a list, or one mapping in the order of its entries."""

    def read(self, node: Node, place: Place) -> Any:
        """Return the transforms as a list of mappings with one entry each."""
        if node.value is UNREADABLE:
            return UNREADABLE
        before = len(place.problems)
        found: list[dict[str, Any]] = []
        for it in node.value if isinstance(node.value, list) else [node]:
            found += self._entries(it, place)
        if len(place.problems) > before or any(UNREADABLE in it.values() for it in found):
            return UNREADABLE
        if not found:
            return place.fail(f"this is no transform; there are {', '.join(TRANSFORMS)}", node)
        if len(found) > MOST_TRANSFORMS:
            return place.fail(f"this has more than {MOST_TRANSFORMS} transforms", node)
        if len(json.dumps(found)) > LARGEST_BYTES:
            return place.fail(f"this is longer than {LARGEST_BYTES // 1024} KiB", node)
        if programs(found) > LARGEST_PROGRAMS:
            return place.fail("its regular expressions are too large together", node)
        return found

    def _entries(self, node: Node, place: Place) -> list[dict[str, Any]]:
        if node.value is UNREADABLE:
            return [{"": UNREADABLE}]
        if not isinstance(node.value, dict):
            place.fail(f"this is no transform; there are {', '.join(TRANSFORMS)}", node)
            return []
        found = []
        for name, it in node.value.items():
            kind = TRANSFORMS.get(name)
            if kind is None:
                known = ", ".join(TRANSFORMS)
                place.at(name).fail(f"there is no such transform; there are {known}", it)
            else:
                found.append({name: kind.form.read(it, place.at(name))})
        return found

    def schema(self) -> Schema:
        """Return a reference to the schema's definition of transforms."""
        return {"$ref": "#/$defs/transform"}


TRANSFORM = TransformForm()


def programs(value: Iterable[Mapping[str, Any]]) -> int:
    """Return the instructions of the regular expressions of transforms."""
    regexes = [it["regex"]["pattern"] for it in value if "regex" in it]
    return sum(int(patterns.compiled(it).programsize) for it in regexes)


def transform_schema() -> Schema:
    """Return the JSON Schema of transforms."""
    table = {
        "type": "object",
        "properties": {name: kind.form.schema() for name, kind in TRANSFORMS.items()},
        "additionalProperties": False,
        "minProperties": 1,
    }
    return {
        "anyOf": [table, {"type": "array", "items": table, "minItems": 1}],
        "description": "What is changed of copies, one after another.",
    }


def compile_transform(value: Any) -> Transform:
    """Return transforms, as ``TRANSFORM`` has read them, ready to be applied.

    Equal ones are compiled once. Raises ValueError for what this version does not know.
    """
    return _compiled(json.dumps(value))


@lru_cache(maxsize=1_024)
def _compiled(text: str) -> Transform:
    try:
        return Transform(
            tuple(
                (name, TRANSFORMS[name].compile(it))
                for each in json.loads(text)
                for name, it in each.items()
            )
        )
    except (KeyError, TypeError, LookupError) as error:
        raise ValueError(f"the transforms cannot be compiled ({type(error).__name__})") from error
