"""The health of an account: what its nodes' reports say of it, one sign after another.

    healthy ──limited──▶ limited ──works──▶ healthy        (Telegram tells no duration)
    healthy ──frozen───▶ frozen ───works──▶ healthy        (after an appeal)
    any ──login lost───▶ needs_login ──started──▶ healthy  (a new sign-in)
    any ──banned───────▶ banned ───────started──▶ healthy  (Telegram has taken it back)

A sign of something lighter changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Health(StrEnum):
    """What Telegram lets an account do."""

    HEALTHY = "healthy"
    LIMITED = "limited"
    """Its sends are taken for spam; it reads."""
    FROZEN = "frozen"
    """It reads, and may do nothing that others see."""
    NEEDS_LOGIN = "needs_login"
    BANNED = "banned"


class Sign(StrEnum):
    """What a report says of an account."""

    LIMITED = "limited"
    FROZEN = "frozen"
    LOGIN_LOST = "login_lost"
    BANNED = "banned"
    STARTED = "started"
    """Its session runs: Telegram accepts the login."""
    WORKS = "works"
    """It has forwarded something."""


@dataclass(slots=True, frozen=True)
class Standing:
    """An account's health, since when, and what last showed it; times are in Unix seconds."""

    health: Health = Health.HEALTHY
    since: float = 0.0
    seen: float = 0.0
    error: str = ""
    """What Telegram answered, as the node tells it."""


SETTLING_SECONDS = 360.0
"""A limited account is tried every five minutes. Until that has worked, what it sends elsewhere,
or has sent before, says nothing: it would be limited and healthy by turns."""
_SHOWS = {
    Sign.LIMITED: Health.LIMITED,
    Sign.FROZEN: Health.FROZEN,
    Sign.LOGIN_LOST: Health.NEEDS_LOGIN,
    Sign.BANNED: Health.BANNED,
}
_WEIGHT = {it: number for number, it in enumerate(Health)}
ADVICE = {
    Health.HEALTHY: "",
    Health.LIMITED: "Telegram takes its messages for spam. It tries again every five minutes; "
    "write to @SpamBot from the account, and send less, and only to chats that know it.",
    Health.FROZEN: "Telegram has frozen the account. Sign in to it with an official app, which "
    "shows until when, and how to appeal; without an appeal it is deleted.",
    Health.NEEDS_LOGIN: "Sign in again with 'afx session login NAME --again'.",
    Health.BANNED: "Telegram has banned or deleted the account. Write to recover@telegram.org, or "
    "remove the session; its rules may go to another one.",
}
"""What an operator can do."""


def after(standing: Standing, sign: Sign, error: str, now: float) -> Standing:
    """Return the standing after a sign; the same one if it says nothing new."""
    before = standing.health
    if sign is Sign.STARTED:
        is_over = before in (Health.NEEDS_LOGIN, Health.BANNED)
        return Standing(since=now, seen=now) if is_over else standing
    if sign is Sign.WORKS:
        is_over = before in (Health.LIMITED, Health.FROZEN)
        is_settled = now - standing.seen >= SETTLING_SECONDS
        return Standing(since=now, seen=now) if is_over and is_settled else standing
    shown = _SHOWS[sign]
    if _WEIGHT[shown] < _WEIGHT[before]:
        return standing
    since = standing.since if shown is before else now
    return Standing(shown, since, now, error)
