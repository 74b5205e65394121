"""Routes whose messages are held, and judged when they are read anew (the option ``reread``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from afx.forwarding.rules import Route

REREAD = "it is read anew before it is judged"


def to_be_reread(routes: Sequence[Route]) -> Sequence[Route]:
    """Return a message's routes; those that judge it when it is read anew say so."""
    if not any(it.options.reread for it in routes):
        return routes
    return [replace(it, unjudged=REREAD) if it.options.reread else it for it in routes]


def is_reread(route: Route) -> bool:
    """Return whether a route of a message judges it when it is read anew."""
    return route.unjudged is REREAD
