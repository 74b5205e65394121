"""The sealed logins of sessions, from which their specs are made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from peewee import JOIN

from models.proxy_tables import Proxy
from models.tables import Session, User


@dataclass(slots=True, frozen=True)
class Login:
    """What the spec of a session has beside its rules."""

    id: int
    name: str
    tier: str
    login: str
    """Sealed by the vault for this session."""
    revision: int
    proxy: int | None
    sealed_proxy: str | None
    """The whole of it, sealed by the vault for this proxy; None: it has none."""
    device: str
    """What it says of itself, sealed by the vault for this session; empty: as others do."""
    created_at: datetime
    account: int | None
    """Telegram's id of it; None: its login was imported."""
    bot: bool


def of_sessions(ids: Sequence[int]) -> list[Login]:
    """Return the sealed logins of sessions."""
    query = Session.select(
        Session.id,
        Session.name,
        User.tier,
        Session.login,
        Session.revision,
        # As the session has it: of a proxy whose row is away, it must not become none.
        Session.proxy,
        Proxy.sealed,
        Session.device,
        Session.created_at,
        Session.account,
        Session.bot,
    )
    query = query.join(User).switch(Session).join(Proxy, JOIN.LEFT_OUTER)
    return [Login(*row) for row in query.where(Session.id.in_(list(ids))).tuples()]
