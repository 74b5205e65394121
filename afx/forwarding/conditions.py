"""The language of filters: conditions, and all, any and not of them.

    filter:
      any:
        - contains: [bitcoin, ether]
        - {media: [photo, video], size: {max: 10 MiB}}
        - not: {regex: '(?i)\\bad\\b'}

A mapping of several conditions, and a list, mean all of them. A filter is compiled once
for a rule; the cheapest conditions are asked first, and none may raise.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from afx.forwarding import languages, patterns
from afx.forwarding.facts import MEDIA, SENDER_KINDS, Facts, host_of, spaced
from afx.forwarding.forms import (
    Choice,
    Form,
    Many,
    Place,
    Schema,
    Table,
    Text,
    Truth,
    TruthOr,
    Whole,
)
from afx.forwarding.hours import HOURS, ZONE, is_within, span
from afx.forwarding.links import rewriter
from afx.forwarding.rule_text import UNREADABLE, Node

Test = Callable[[Facts], bool]
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MOST_CONDITIONS = 200
LARGEST_BYTES = 64 * 1024
LARGEST_PROGRAMS = 6_000
"""Instructions of all regular expressions of a filter together."""
_LARGEST_ID = 2**53
_ENDS = {"min": "At least so much.", "max": "At most so much."}


@dataclass(slots=True, frozen=True)
class Kind:
    """One kind of condition: what it takes, and how it is tested."""

    form: Form
    compile: Callable[[Any], Test]
    cost: int


@dataclass(slots=True, frozen=True)
class Condition:
    """A compiled condition; ``parts`` are those of all, any and not."""

    name: str
    value: Any
    test: Test
    cost: int
    parts: tuple[Condition, ...] = ()


# --- the kinds -----------------------------------------------------------------------------


def _contains(values: list[str]) -> Test:
    wanted = [it.casefold() for it in values]
    if len(wanted) == 1:
        [one] = wanted
        return lambda it: one in it.folded
    return lambda it: any(each in it.folded for each in wanted)


def _words(values: list[str]) -> Test:
    wanted = [spaced(it) for it in values]
    return lambda it: any(each in it.words for each in wanted)


def _regex(values: list[str]) -> Test:
    searches = [patterns.compiled(it).search for it in values]
    return lambda it: any(search(it.text) is not None for search in searches)


def _links(value: Any) -> Test:
    if isinstance(value, bool):
        return lambda it: bool(it.links) is value
    addresses = [it for it in value if "/" in it.partition("://")[2 if "://" in it else 0][:-1]]
    wanted = {host_of(it) for it in value if it not in addresses}
    ends = tuple(f".{it}" for it in wanted)
    begins = rewriter(dict.fromkeys(addresses, "-"))

    def test(facts: Facts) -> bool:
        if any(host in wanted or host.endswith(ends) for host in facts.hosts):
            return True
        return bool(addresses) and any(begins(it) is not None for it in facts.links)

    return test


def _tags(field: str) -> Callable[[Any], Test]:
    def compile_tags(value: Any) -> Test:
        if isinstance(value, bool):
            return lambda it: bool(getattr(it, field)) is value
        wanted = frozenset(it.lstrip("#@").casefold() for it in value)
        return lambda it: not wanted.isdisjoint(getattr(it, field))

    return compile_tags


def _one_of(field: str) -> Callable[[list[Any]], Test]:
    def compile_choice(value: list[Any]) -> Test:
        wanted = frozenset(value)
        return lambda it: getattr(it, field) in wanted

    return compile_choice


def _truth(field: str) -> Callable[[bool], Test]:
    return lambda value: lambda it: bool(getattr(it, field)) is value


def _language(values: list[str]) -> Test:
    languages.check_installed()
    wanted = frozenset(values)
    return lambda it: languages.language_of(it) in wanted


def _size(value: Mapping[str, int]) -> Test:
    least, most = value.get("min", 0), value.get("max", _LARGEST_ID)
    return lambda it: least <= it.size <= most


def _length(value: Mapping[str, int]) -> Test:
    least, most = value.get("min", 0), value.get("max", _LARGEST_ID)
    return lambda it: least <= len(it.text) <= most


def _time(value: Mapping[str, Any]) -> Test:
    zone = ZoneInfo(value.get("zone", "UTC"))
    days = frozenset(WEEKDAYS.index(it) for it in value.get("weekdays", WEEKDAYS))
    spans = [span(it) for it in value.get("hours", ())]

    def test(facts: Facts) -> bool:
        now = facts.moment.astimezone(zone)
        if now.weekday() not in days:
            return False
        return not spans or any(is_within(now.time(), *each) for each in spans)

    return test


def _wrong_words(text: str) -> str | None:
    return None if spaced(text).strip() else "this has no letter and no digit; use 'contains'"


def _wrong_host(text: str) -> str | None:
    return None if host_of(text) else "this names no host; write one as example.org"


def _wrong_bounds(value: Mapping[str, int]) -> str | None:
    if value.get("min", 0) > value.get("max", _LARGEST_ID):
        return "the smallest is larger than the largest"
    return None


def _id() -> Whole:
    return Whole("A user's or chat's id, as -1001234567890.", -(10**15), 10**15)


def _bounds(about: str, most: int, *, is_size: bool = False) -> Table:
    ends = {it: Whole(said, 0, most, is_size) for it, said in _ENDS.items()}
    return Table(about, ends, whole=_wrong_bounds)


CONDITIONS: Mapping[str, Kind] = {
    "contains": Kind(Many(Text("The text has this in it, in upper or lower case.")), _contains, 4),
    "words": Kind(
        Many(Text("The text has this word, or these words in a row.", 200, _wrong_words)),
        _words,
        8,
    ),
    "regex": Kind(
        Many(
            Text(
                "The text matches this regular expression of RE2.",
                patterns.LONGEST,
                patterns.wrong_with,
            ),
            20,
        ),
        _regex,
        20,
    ),
    "sender": Kind(Many(_id()), _one_of("sender"), 2),
    "sender_kind": Kind(
        Many(Choice("Who sent it: a user, or a channel or group.", SENDER_KINDS)),
        _one_of("sender_kind"),
        2,
    ),
    "via_bot": Kind(Truth("Whether it was made with an inline bot."), _truth("via_bot"), 1),
    "media": Kind(
        Many(Choice("What it has besides its text; 'text' is nothing.", MEDIA)),
        _one_of("media"),
        2,
    ),
    "size": Kind(_bounds("Bytes of its file.", 10**12, is_size=True), _size, 2),
    "length": Kind(_bounds("Characters of its text.", 100_000), _length, 1),
    "links": Kind(
        TruthOr(
            Many(Text("The host of a link, a domain of it, or its begin.", 255, _wrong_host)),
            "Whether it has a link, or one to these hosts or addresses.",
        ),
        _links,
        5,
    ),
    "hashtags": Kind(
        TruthOr(Many(Text("A hashtag.", 200)), "Whether it has a hashtag, or one of these."),
        _tags("hashtags"),
        5,
    ),
    "mentions": Kind(
        TruthOr(
            Many(Text("A user's name or id.", 64)), "Whether it mentions a user, or one of these."
        ),
        _tags("mentions"),
        5,
    ),
    "language": Kind(
        Many(
            Choice(
                "The language of its text, by its code; 'unknown' where it cannot be told.",
                languages.LANGUAGES,
            )
        ),
        _language,
        40,
    ),
    "forwarded": Kind(Truth("Whether it was forwarded there itself."), _truth("forwarded"), 1),
    "reply": Kind(Truth("Whether it replies to a message."), _truth("reply"), 1),
    "edited": Kind(
        Truth("Whether it had been edited before it was forwarded."), _truth("edited"), 1
    ),
    "time": Kind(
        Table(
            "When it was sent.",
            {
                "hours": HOURS,
                "weekdays": Many(Choice("Days of the week.", WEEKDAYS), 7),
                "zone": ZONE,
            },
        ),
        _time,
        4,
    ),
}


# --- reading -------------------------------------------------------------------------------


class ConditionForm:
    """The form of a filter."""

    def read(self, node: Node, place: Place) -> Any:
        """Return a filter as a plain value; a list becomes ``all``."""
        before = len(place.problems)
        found = self._read(node, place)
        if found is UNREADABLE or len(place.problems) > before:
            return UNREADABLE
        if _count(found) > MOST_CONDITIONS:
            return place.fail(f"this has more than {MOST_CONDITIONS} conditions", node)
        if len(json.dumps(found)) > LARGEST_BYTES:
            return place.fail(f"this is longer than {LARGEST_BYTES // 1024} KiB", node)
        if programs(found) > LARGEST_PROGRAMS:
            return place.fail("its regular expressions are too large together", node)
        return found

    def _read(self, node: Node, place: Place) -> Any:
        value = node.value
        if value is UNREADABLE:
            return UNREADABLE
        if isinstance(value, list):
            parts = self._parts(node, place)
            return UNREADABLE if parts is UNREADABLE else {"all": parts}
        if not isinstance(value, dict) or not value:
            return place.fail(f"this is no condition; there are {_KNOWN}", node)
        found = {}
        for name, it in value.items():
            at = place.at(name)
            if name in ("all", "any"):
                found[name] = self._parts(it, at)
            elif name == "not":
                found[name] = self._read(it, at)
            elif kind := CONDITIONS.get(name):
                found[name] = kind.form.read(it, at)
            else:
                found[name] = at.fail(f"there is no such condition; there are {_KNOWN}", it)
        return UNREADABLE if UNREADABLE in found.values() else found

    def _parts(self, node: Node, place: Place) -> Any:
        if not isinstance(node.value, list) or not node.value:
            if node.value is UNREADABLE:
                return UNREADABLE
            return place.fail("this is not a list of conditions", node)
        parts = [self._read(it, place) for it in node.value]
        return UNREADABLE if UNREADABLE in parts else parts

    def schema(self) -> Schema:
        """Return a reference to the schema's definition of a condition."""
        return {"$ref": "#/$defs/condition"}


FILTER = ConditionForm()
_KNOWN = ", ".join(["all", "any", "not", *CONDITIONS])


def condition_schema() -> Schema:
    """Return the JSON Schema of a condition."""
    parts = {"type": "array", "items": FILTER.schema(), "minItems": 1}
    properties = {
        "all": {**parts, "description": "Each of them."},
        "any": {**parts, "description": "At least one of them."},
        "not": {**FILTER.schema(), "description": "None of them."},
    }
    known = {name: kind.form.schema() for name, kind in CONDITIONS.items()}
    return {
        "anyOf": [
            {
                "type": "object",
                "properties": {**properties, **known},
                "additionalProperties": False,
                "minProperties": 1,
            },
            parts,
        ],
        "description": "Several conditions, or a list of them, mean all of them.",
    }


def _count(value: Any) -> int:
    if isinstance(value, list):
        return sum(map(_count, value))
    if not isinstance(value, dict):
        return 0
    return sum(_count(it) if name in _JOINING else 1 for name, it in value.items())


def programs(value: Any) -> int:
    """Return the instructions of a filter's regular expressions."""
    if isinstance(value, list):
        return sum(map(programs, value))
    if not isinstance(value, dict):
        return 0
    of_parts = sum(programs(it) for name, it in value.items() if name in _JOINING)
    return of_parts + sum(int(patterns.compiled(it).programsize) for it in value.get("regex", ()))


_JOINING = ("all", "any", "not")


# --- compiling -----------------------------------------------------------------------------


def compile_filter(value: Mapping[str, Any]) -> Condition:
    """Return a filter, as ``FILTER`` has read it, ready to be asked.

    Equal filters, of whichever rules, are compiled once. Raises ValueError when this
    machine cannot: it lacks a time zone.
    """
    return _compiled(json.dumps(value))


@lru_cache(maxsize=1_024)
def _compiled(text: str) -> Condition:
    try:
        return _condition(json.loads(text))
    except (KeyError, TypeError, LookupError, OSError) as error:
        raise ValueError(f"the filter cannot be compiled ({type(error).__name__})") from error


def _condition(value: Any) -> Condition:
    parts = [_named(name, it) for name, it in value.items()]
    return parts[0] if len(parts) == 1 else _all("all", value, parts)


def _named(name: str, value: Any) -> Condition:
    if name == "all":
        return _all(name, value, [_condition(it) for it in value])
    if name == "any":
        parts = tuple(_condition(it) for it in value)
        tests = _by_cost(parts)
        return Condition(name, value, lambda it: any(t(it) for t in tests), _sum(parts), parts)
    if name == "not":
        part = _condition(value)
        test = part.test
        return Condition(name, value, lambda it: not test(it), part.cost, (part,))
    kind = CONDITIONS[name]
    return Condition(name, value, kind.compile(value), kind.cost)


def _all(name: str, value: Any, found: list[Condition]) -> Condition:
    parts = tuple(found)
    tests = _by_cost(parts)
    return Condition(name, value, lambda it: all(t(it) for t in tests), _sum(parts), parts)


def _by_cost(parts: tuple[Condition, ...]) -> tuple[Test, ...]:
    return tuple(it.test for it in sorted(parts, key=lambda it: it.cost))


def _sum(parts: tuple[Condition, ...]) -> int:
    return sum(it.cost for it in parts)
