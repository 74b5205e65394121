"""What rows about a rule have in common."""

from __future__ import annotations


class OfRule:
    """A row with the session and the name of its rule."""

    __slots__ = ()

    session: str
    name: str

    @property
    def rule(self) -> str:
        """``SESSION/NAME`` of the rule."""
        return f"{self.session}/{self.name}"
