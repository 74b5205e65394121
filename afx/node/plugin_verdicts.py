"""What becomes of a message whose plug-ins have no answer, or one that cannot be sent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from afx.forwarding.plugin_options import OnError, Plugin
from afx.reasons import DeadReason
from afx.telegram.local_files import LocalFile
from afx.telegram.sender import Outcome

DROPPED = Outcome("known", dead=DeadReason.PLUGIN_FAILED)
"""It is no dead letter, and its content was not sent: the same may come later."""


@dataclass(slots=True, frozen=True)
class Made:
    """What is sent in the place of a message's file."""

    file: LocalFile
    rule: int
    plugins: tuple[Plugin, ...]
    tell: Callable[[str], None]

    def refused(self, reason: str) -> Outcome | None:
        """Telegram does not take it: returns what becomes of its message, as ``refusal_of``."""
        text = unusable(self.rule, reason)
        self.tell(text)
        return refusal_of(self.plugins, text)


def unusable(rule: int, what: str) -> str:
    """Return what is told of an answer that cannot be sent."""
    return f"what the plug-ins of rule {rule} return cannot be sent: {what}"


def refusal_of(plugins: Sequence[Plugin], reason: str) -> Outcome | None:
    """Return what becomes of what plug-ins return and cannot be sent; None: it is left out."""
    strict = [it.on_error for it in plugins if it.on_error != "pass"]
    return verdict("dead" if "dead" in strict else "drop", reason) if strict else None


def verdict(on_error: OnError, reason: str) -> Outcome:
    """Return what becomes of a message of which a plug-in makes nothing."""
    if on_error == "drop":
        return DROPPED
    return Outcome("refused", reason=reason, dead=DeadReason.PLUGIN_FAILED)
