"""The sessions that rules name as their senders, in SQL."""

from __future__ import annotations

from models.storage import rules, senders, sessions, users
from models.storage.sessions import NewSession


def test_senders_are_sessions_of_the_rules_user_only(ids: list[int]) -> None:
    owner = sessions.find("s0")
    sessions.create(users.create("other"), NewSession("strange", "sealed", "strange"))
    named = rules.create(owner, ["-1"], ["-2"], options={"senders": ["s2", "strange", "none"]})
    plain = rules.create(owner, ["-1"], ["-2"])
    assert senders.ids_of([named, plain]) == {named.id: {"s2": ids[2]}}
    assert senders.ids_of([plain]) == {}
    found = senders.named(["s1", "none", "strange"])
    assert {name: it.id for name, it in found.items()} == {
        "s1": ids[1],
        "strange": sessions.find("strange").id,
    }
