"""Finding anything by the beginning of its name, or its number, among what the actor may see."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from afx.errors import UsageError
from afx.operations import controls, rules, sessions, tasks, users, workers
from afx.operations.context import Context

MOST_OF_A_KIND = 8
_MOST_DIGITS = 9


def _session_of(context: Context, text: str) -> list[str]:
    found = sessions.show(context, text).session
    return [found.name] if str(found.id) == text else []


def _control_of(context: Context, text: str) -> list[str]:
    return [str(controls.show(context, int(text)).id)]


def _task_of(context: Context, text: str) -> list[str]:
    return [str(tasks.show(context, int(text)).task.id)]


_KINDS: tuple[tuple[str, str, Callable[[Context, str], list[str]], bool], ...] = (
    ("session", "session:read", sessions.names_beginning, True),
    ("worker", "worker:read", workers.names_beginning, False),
    ("user", "user:read", users.names_beginning, False),
    ("rule", "rule:read", rules.names_beginning, False),
)
"""Kind, scope, what finds it, and whether an actor limited to one owner may ask."""
_NUMBERED: tuple[tuple[str, str, Callable[[Context, str], list[str]], bool], ...] = (
    ("session", "session:read", _session_of, True),
    ("control", "control:read", _control_of, False),
    ("task", "task:read", _task_of, True),
)
"""The same, of what a whole number means."""
_ORDER = ("session", "control", "task", "worker", "user", "rule")


@dataclass(slots=True, frozen=True)
class Found:
    """One thing whose name begins with the text."""

    kind: str
    name: str


def find(context: Context, text: str) -> tuple[Found, ...]:
    """Return a few things of each kind that the actor may read; empty text finds nothing.

    Each kind is asked as the actor: what the actor may not read is left out.
    """
    if not text:
        return ()
    found = [
        Found(kind, name)
        for kind, scope, names, owned in _KINDS
        if context.actor.may(scope) and (owned or not context.actor.owner)
        for name in names(context, text)[:MOST_OF_A_KIND]
    ]
    if text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS:
        for kind, scope, names, owned in _NUMBERED:
            if context.actor.may(scope) and (owned or not context.actor.owner):
                with suppress(UsageError):
                    found += [Found(kind, name) for name in names(context, str(int(text)))]
    return tuple(sorted(dict.fromkeys(found), key=lambda it: _ORDER.index(it.kind)))
