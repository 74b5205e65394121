"""What a verification test found, and with what it measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from afx.operations.context import Context
    from afx.verify.canary import Canary


class Outcome(StrEnum):
    """How a test went."""

    PASSED = "passed"
    PARTLY = "partly"
    """What could be checked is right; the rest would harm the cluster, and was not done."""
    FAILED = "failed"
    NOT_AVAILABLE = "not available"
    """This version, or this installation, lacks what the test is about."""


TITLES = (
    "registration and monitoring",
    "RAM-based assignment",
    "overflow and fallback",
    "idle-session RAM efficiency",
    "clean-up and recycling",
    "server-worker task execution",
    "admin dashboard",
    "crash recovery and reassignment",
    "security and communication integrity",
)


@dataclass(slots=True)
class Findings:
    """What a test notes while it runs."""

    measured: list[str] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    not_done: list[str] = field(default_factory=list)
    """What was left out, so that nothing is harmed."""
    missing: list[str] = field(default_factory=list)
    """What does not exist here."""

    def note(self, text: str, **figures: float) -> None:
        """Note what was measured, as words and as numbers."""
        self.measured.append(text)
        self.figures.update({name: round(value, 4) for name, value in figures.items()})

    def require(self, holds: object, problem: str) -> None:
        """Note a problem unless a condition holds."""
        if not holds:
            self.problems.append(problem)

    @property
    def outcome(self) -> Outcome:
        """How the test went: what is missing is never passed."""
        if self.problems:
            return Outcome.FAILED
        if self.missing:
            return Outcome.NOT_AVAILABLE
        return Outcome.PARTLY if self.not_done else Outcome.PASSED


@dataclass(slots=True, frozen=True)
class Result:
    """One of the nine tests."""

    number: int
    title: str
    outcome: Outcome
    measured: tuple[str, ...]
    figures: dict[str, float]
    problems: tuple[str, ...]
    not_done: tuple[str, ...]
    missing: tuple[str, ...]
    seconds: float


@dataclass(slots=True, frozen=True)
class Target:
    """The cluster that is tested."""

    context: Context
    web_url: str
    """Where the API and the dashboard should be."""
    canary: Canary | None = None
    """A session of our own, when the cluster uses a private sandbox."""
    no_canary: str = "the cluster uses no private sandbox"
    """Why there is none."""
    seconds: float = 30.0
    """The longest that one thing is waited for."""


Check = Callable[[Target, Findings], None]
