"""Accounts that were signed in lately: they send and join less (see ``afx.node.ramp``)."""

from __future__ import annotations

from datetime import datetime, timedelta

NEW = "new"
"""What the health of such an account is called, as long as nothing is wrong with it."""


def new_until(
    *, created_at: datetime, account: int | None, bot: bool, days: float, now: datetime
) -> datetime | None:
    """Return until when an account is new; None for one that is not.

    One whose Telegram id nobody knows was imported: for how long it has been used, nobody knows
    either.
    """
    until = created_at + timedelta(days=days)
    return until if account is not None and not bot and now < until else None


def advice(until: datetime) -> str:
    """Return what an operator should know of such an account."""
    return (
        f"It was signed in lately: until {until:%Y-%m-%d} it sends and joins less, and more each "
        "day (the setting new_account_days)."
    )
