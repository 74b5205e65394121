"""A rule tried on a message: whether it forwards it, what decided, and what the copy says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from afx.forwarding.buttons import Buttons, with_buttons
from afx.forwarding.conditions import Condition, compile_filter
from afx.forwarding.entities import Styled
from afx.forwarding.facts import Facts, kind_of
from afx.forwarding.transforms import compile_transform
from afx.forwarding.utf16 import part

_LONGEST_VALUE = 80


@dataclass(slots=True, frozen=True)
class Part:
    """One entity of a copy; offset and length in UTF-16 units."""

    kind: str
    offset: int
    length: int
    text: str
    """What it covers."""
    url: str


@dataclass(slots=True, frozen=True)
class Button:
    """One inline button of a copy."""

    label: str
    url: str


@dataclass(slots=True, frozen=True)
class Trial:
    """What a rule does with a message."""

    forwards: bool
    decided: str
    """The condition that decided, and how it was met; empty without a filter."""
    changed: bool
    """Whether the copy's text or formatting is not that of the message."""
    text: str
    entities: tuple[Part, ...]
    buttons: tuple[Button, ...] = ()
    """Those with links that a bot sends on."""


def tried(
    filter: Mapping[str, Any],
    transform: Sequence[Any],
    facts: Facts,
    further: Callable[[Styled], Styled | None] | None = None,
    *,
    buttons: Buttons = "",
) -> Trial:
    """Try a rule's filter and transforms; raises ValueError for what cannot be compiled.

    ``further`` is what plug-ins do: None for what they drop; ``buttons`` is the rule's option.
    """
    forwards, decided = True, ""
    if filter:
        condition = compile_filter(filter)
        forwards = condition.test(facts)
        decided = decisive(condition, facts)
    changed = None
    if forwards and transform:
        changed = compile_transform(list(transform)).apply(facts)
    made = changed or Styled(facts.text, facts.entities)
    if forwards and buttons == "text" and facts.buttons:
        changed = with_buttons(made, facts) or changed
        made = changed or made
    if forwards and further is not None:
        plugged = further(made)
        if plugged is None:
            forwards, decided = False, "a plug-in drops it"
        elif plugged != made:
            made = changed = plugged
    parts = tuple(
        Part(
            kind_of(it),
            it.offset,
            it.length,
            part(made.text, it.offset, it.length),
            getattr(it, "url", ""),
        )
        for it in made.entities
    )
    kept = facts.buttons if forwards and buttons == "keep" else ()
    shown_buttons = tuple(Button(*it) for row in kept for it in row)
    return Trial(forwards, decided, changed is not None, made.text, parts, shown_buttons)


def decisive(condition: Condition, facts: Facts) -> str:
    """Return the way to the condition that decided, as ``any > media: photo is true``.

    In all it is the first that is false, in any the first that is true; where all of
    several decide together, their group is named.
    """
    way = []
    while condition.parts:
        way.append(condition.name)
        verdict = condition.test(facts)
        if condition.name == "not":
            condition = condition.parts[0]
            continue
        is_any = condition.name == "any"
        if verdict is not is_any and len(condition.parts) > 1:
            word = "none of its conditions is" if is_any else "each of its conditions is"
            return f"{' > '.join(way)}: {word} true"
        condition = next(it for it in condition.parts if it.test(facts) is verdict)
    word = "true" if condition.test(facts) else "false"
    return " > ".join([*way, f"{condition.name}: {shown(condition.value)} is {word}"])


def described(filter: Mapping[str, Any], depth: int = 0) -> Iterator[str]:
    """Yield a filter as indented lines."""
    indent = "  " * depth
    for name, value in filter.items():
        if name in ("all", "any"):
            yield f"{indent}{name} of:"
            for it in value:
                lines = list(described(it, depth + 2))
                yield f"{indent}  - {lines[0].strip()}"
                yield from lines[1:]
        elif name == "not":
            yield f"{indent}not:"
            yield from described(value, depth + 1)
        else:
            yield f"{indent}{name}: {shown(value)}"


def shown(value: Any) -> str:
    """Return a value of a condition or transform for people."""
    if isinstance(value, Mapping):
        text = ", ".join(f"{name} {shown(it)}" for name, it in value.items())
    elif isinstance(value, list):
        text = ", ".join(map(shown, value))
    elif isinstance(value, bool):
        text = str(value).lower()
    else:
        text = str(value).replace("\n", "⏎")
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"
