"""Held messages for tests of those who look at them."""

from __future__ import annotations

from datetime import timedelta

from afx.cluster.held_content import HeldContent, HeldPart, encode, name_of
from afx.security.vault import Vault
from models.base import transaction, utc_now
from models.storage import held_messages
from models.storage.held_messages import Held
from models.tables import HeldMessage, Rule

SOURCE, TO = -(10**12) - 5, -7


def add_held_messages(
    vault: Vault, rule: int, *texts: str, first: int = 1, event: str = "held"
) -> list[int]:
    """Let a rule hold messages; returns the ids of their rows. ``first``: the first's number."""
    session = Rule.get_by_id(rule).session_id
    items = []
    for number, text in enumerate(texts, first):
        content = HeldContent(text, [HeldPart("Bold", 0, 1)], link=f"https://t.me/c/5/{number}")
        sealed = vault.seal_held(encode(content), of=name_of(rule, SOURCE, TO, number))
        version = sum(text.encode())
        expires = utc_now() + timedelta(days=1)
        route = (session, rule, SOURCE, TO, number)
        items.append(Held(*route, 0, version, sealed, expires, event))
    with transaction():
        held_messages.note(items)
    rows = HeldMessage.select().where(HeldMessage.rule == rule, HeldMessage.message >= first)
    return [it.id for it in rows.order_by(HeldMessage.id)]
