"""Acts on users."""

from __future__ import annotations

from afx.operations.change import Operator, change
from models.storage import users


def add(operator: Operator, name: str, tier: str) -> None:
    """Add a user; raises UsageError for a bad or taken name and a bad tier."""
    with change(operator, "user.add", f"user/{name}") as details:
        users.create(name, tier)
        details["tier"] = tier


def set_tier(operator: Operator, name: str, tier: str) -> tuple[str, str]:
    """Change a user's tier; returns (full name, the tier of before)."""
    user = users.find(name)
    with change(operator, "user.tier", f"user/{user.name}") as details:
        users.set_tier(user, tier)
        details.update({"from": user.tier, "to": tier})
    return user.name, user.tier


def remove(operator: Operator, name: str) -> str:
    """Remove a user without sessions; returns the full name."""
    user = users.find(name)
    with change(operator, "user.remove", f"user/{user.name}"):
        users.remove(user)
    return str(user.name)
