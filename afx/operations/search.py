"""Finding anything by the beginning of its name, among what the actor may see."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from afx.operations import rules, sessions, users, workers
from afx.operations.context import Context

MOST_OF_A_KIND = 8
_KINDS: tuple[tuple[str, str, Callable[[Context, str], list[str]], bool], ...] = (
    ("session", "session:read", sessions.names_beginning, True),
    ("worker", "worker:read", workers.names_beginning, False),
    ("user", "user:read", users.names_beginning, False),
    ("rule", "rule:read", rules.names_beginning, False),
)
"""Kind, scope, what finds it, and whether an actor limited to one owner may ask."""


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
    return tuple(
        Found(kind, name)
        for kind, scope, names, owned in _KINDS
        if context.actor.may(scope) and (owned or not context.actor.owner)
        for name in names(context, text)[:MOST_OF_A_KIND]
    )
