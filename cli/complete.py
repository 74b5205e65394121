"""Completion of names in a shell; an error completes to nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

_Names = Callable[[Any, str], list[str]]


def users(incomplete: str) -> list[str]:
    """Users whose names begin with a text."""
    return _ask("users", incomplete)


def sessions(incomplete: str) -> list[str]:
    """Sessions whose names begin with a text."""
    return _ask("sessions", incomplete)


def workers(incomplete: str) -> list[str]:
    """Nodes whose names begin with a text."""
    return _ask("workers", incomplete)


def rules(incomplete: str) -> list[str]:
    """Rules whose ``SESSION/NAME`` begins with a text."""
    return _ask("rules", incomplete)


def proxies(incomplete: str) -> list[str]:
    """Proxies whose names begin with a text."""
    return _ask("proxies", incomplete)


def webhooks(incomplete: str) -> list[str]:
    """Webhooks whose names begin with a text."""
    return _ask("webhooks", incomplete)


def event_kinds(incomplete: str) -> list[str]:
    """The kinds of events that webhooks are told of."""
    from afx.operations.webhooks import KINDS

    return [it for it in KINDS if it.startswith(incomplete)]


def states(incomplete: str) -> list[str]:
    """The states of sessions."""
    from afx.operations.sessions import STATES

    return [it for it in STATES if it.startswith(incomplete)]


def health(incomplete: str) -> list[str]:
    """What Telegram lets accounts do."""
    from afx.operations.sessions import HEALTH

    return [it for it in HEALTH if it.startswith(incomplete)]


def tiers(incomplete: str) -> list[str]:
    """The tiers of users."""
    return [it for it in ("premium", "free") if it.startswith(incomplete)]


def modes(incomplete: str) -> list[str]:
    """The modes of rules."""
    return [it for it in ("copy", "forward") if it.startswith(incomplete)]


def kinds(incomplete: str) -> list[str]:
    """The kinds of tasks."""
    from afx.operations.tasks import KIND_NAMES

    return [it for it in KIND_NAMES if it.startswith(incomplete)]


def _ask(module: str, incomplete: str) -> list[str]:
    from importlib import import_module

    from afx import app
    from cli import common

    # A completion that prints an error would spoil the line being typed.
    with contextlib.suppress(Exception), app.opened() as servers:
        names: _Names = import_module(f"afx.operations.{module}").names_beginning
        return names(servers.context(common.actor()), incomplete)
    return []
