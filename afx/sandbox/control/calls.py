"""What a control call works on, and the table of calls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from afx.sandbox.judge.flow import Flow
from afx.sandbox.server import SandboxServer

Handler = TypeVar("Handler", bound=Callable[..., Any])
CALLS: dict[str, Callable[..., Any]] = {}


@dataclass(slots=True, frozen=True)
class Sandbox:
    """The running sandbox, as control calls see it."""

    server: SandboxServer
    flow: Flow
    shutdown: asyncio.Event
    started_at: float
    """Monotonic seconds."""


def call(handler: Handler) -> Handler:
    """Register a function as a control call of the same name."""
    CALLS[handler.__name__] = handler
    return handler
