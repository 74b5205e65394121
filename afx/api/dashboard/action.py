"""What one action of a page is: its button, its dialog, and the same from a shell."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from afx.errors import NotFoundError, UsageError
from afx.operations import rebalancing, rules, tokens, webhooks
from afx.operations.context import OWNED, SCOPES, Actor, Context
from afx.operations.requests import Requested

Form = Mapping[str, str]


@dataclass(slots=True, frozen=True)
class Field:
    """One field of an action's form."""

    name: str
    label: str
    kind: Literal["text", "lines", "pairs", "yaml", "file", "secret", "select", "check"] = "text"
    """``lines``: words; ``pairs``: NAME=VALUE, one a line. The command reads a ``file`` and a
    ``secret`` from standard input: neither is shown in it."""
    options: tuple[str, ...] = ()
    required: bool = True
    hint: str = ""
    flag: str = ""
    """The option of the command; empty: an argument; ``-``: one that is read from there."""
    value: str = ""
    to: str | None = None
    """Its name in the body of the API's request, empty for one that is not there; None: its own."""
    shape: Literal["", "number", "labels", "list", "yaml"] = ""
    """What it is in that body, where its kind does not tell; ``yaml``: an object."""
    dry_run: bool = False
    """It asks for a dry run."""


@dataclass(slots=True, frozen=True)
class Preview:
    """What a target means at the moment."""

    text: str
    seen: str = ""
    """Comes back with the form: what the person has seen, where more may come meanwhile."""
    values: Mapping[str, str] = field(default_factory=dict)
    """Of the form's fields."""


@dataclass(slots=True, frozen=True)
class Action:
    """One thing that may be done to a target; ``operation`` gives the scope that it needs."""

    name: str
    """``noun.verb``."""
    label: str
    icon: str
    operation: Callable[..., Any]
    run: Callable[[Context, str, Form], Any]
    effect: str
    """What it does, in a sentence."""
    command: str
    """Of ``afx``, without the target."""
    method: str
    path: str
    """Of the API; ``{}`` is the target."""
    fields: tuple[Field, ...] = field(default=())
    destroys: bool = False
    """It cannot be undone: the target's name is to be typed."""
    takes_long: bool = False
    """It is made in several transactions: other changes do not wait for its end."""
    asks_strangers: bool = False
    """It waits for servers of others: nothing else waits for its end."""
    back: str = ""
    """The page to go to afterwards; empty: where the action was chosen."""
    words: Callable[[str], list[str]] = lambda target: [target]
    """What the target is in the command."""
    place: Callable[[str], str] = lambda target: target
    """What of the target is in the path of the API."""
    body: Callable[[str], Mapping[str, Any]] = lambda _: {}
    """What of the target is in the request's body."""
    seen_until: bool = False
    """The request's ``until`` is what the person has seen."""
    preview: Callable[[Context, str], Preview] | None = None
    """Says what a target that is no name means."""
    named: Callable[[Context, str], str] = lambda _, target: target
    """How people know a target."""

    def allowed(self, actor: Actor) -> bool:
        """Return whether an actor may do it."""
        name = f"{self.operation.__module__.rpartition('.')[2]}.{self.operation.__name__}"
        return actor.may(SCOPES[name]) and (not actor.owner or name in OWNED)

    def as_command(self, target: str, form: Form, reason: str) -> str:
        """Return the same from a shell."""
        words = ["afx", *self.command.split()]
        if target:
            words += self.words(target)
        for it in self.fields:
            value = form.get(it.name, it.value)
            if it.kind == "check":
                words += [it.flag] if value else []
            elif it.kind in ("file", "secret"):
                words += ["-"] if it.flag == "-" else [it.flag, "-"] if it.flag else []
            elif it.kind == "pairs":
                words += [part for line in lines_of(value) for part in (it.flag, line)]
            elif value or it.required:
                for part in value.split() if it.kind == "lines" else [value]:
                    words += [it.flag, part] if it.flag else [part]
        if self.destroys:
            words.append("--yes")
        if reason:
            words += ["--reason", reason]
        text = " ".join(shlex.quote(it) for it in words)
        reads = any(it.kind in ("file", "secret") for it in self.fields)
        return f"{text} < FILE" if reads else text


def lines_of(text: str) -> list[str]:
    """Return the lines of a field that have something in them."""
    return [it.strip() for it in text.splitlines() if it.strip()]


def whole_of(text: str, what: str) -> int:
    """Return the whole number of a field, 0 for an empty one; raises UsageError."""
    if not text.strip():
        return 0
    if not text.isascii() or not text.isdecimal() or len(text) > 9:
        raise UsageError(f"{what} is no whole number; correct it.")
    return int(text)


def number_of(text: str, what: str) -> int:
    """Return the number that a target is; raises NotFoundError for what is none."""
    if not text.isascii() or not text.isdecimal() or len(text) > 9:
        raise NotFoundError(f"A {what} has a number; choose one of the list.")
    return int(text)


def outcome(result: Any) -> tuple[str, str]:
    """Return what an action did, for people: a sentence, and the secret that it made."""
    if isinstance(result, Requested):
        if result.control is None:
            return f"{result.target} {result.note}.", ""
        return f"Requested: control {result.control} about {result.target}.", ""
    if isinstance(result, tokens.IssuedToken):
        return "Copy it now: it is not shown again.", result.token
    if isinstance(result, webhooks.IssuedSecret):
        return "Copy its secret now: it is not shown again.", result.secret
    if isinstance(result, list) and result and isinstance(result[0], rules.OutputSecret):
        shown = "\n".join(f"{it.destination} {it.secret}" for it in result)
        return "Copy them now; the audit log has that you saw them.", shown
    if isinstance(result, rebalancing.RebalancePlan):
        return f"{len(result.moves)} moves were requested.", ""
    return (f"{result[0].upper()}{result[1:]}." if isinstance(result, str) and result else ""), ""
