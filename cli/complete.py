"""Completion of names in a shell; an error completes to nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

_Names = Callable[[str], list[str]]


def users(incomplete: str) -> list[str]:
    """Users whose names begin with a text."""
    return _ask("users", "names_beginning", incomplete)


def sessions(incomplete: str) -> list[str]:
    """Sessions whose names begin with a text."""
    return _ask("sessions", "names_beginning", incomplete)


def workers(incomplete: str) -> list[str]:
    """Nodes whose names begin with a text."""
    return _ask("workers", "names_beginning", incomplete)


def rules(incomplete: str) -> list[str]:
    """Rules whose ``SESSION/NAME`` begins with a text."""
    return _ask("rules", "paths_beginning", incomplete)


def states(incomplete: str) -> list[str]:
    """The states of sessions."""
    from models.storage.sessions import STATES

    return [it for it in STATES if it.startswith(incomplete)]


def tiers(incomplete: str) -> list[str]:
    """The tiers of users."""
    return [it for it in ("premium", "free") if it.startswith(incomplete)]


def modes(incomplete: str) -> list[str]:
    """The modes of rules."""
    return [it for it in ("copy", "forward") if it.startswith(incomplete)]


def _ask(module: str, function: str, incomplete: str) -> list[str]:
    from importlib import import_module

    from cli import common

    # A completion that prints an error would spoil the line being typed.
    with contextlib.suppress(Exception), common.reading(None):
        names: _Names = getattr(import_module(f"models.storage.{module}"), function)
        return names(incomplete)
    return []
