"""The copies of sessions' cursors."""

from __future__ import annotations

from typing import Any

from models import base
from models.storage import cursors, rules, sessions, users
from models.storage.sessions import NewSession


def test_rules_with_digests_are_found_with_the_cursors_of_their_sessions(database: Any) -> None:
    owner = users.create("alice")
    made = [sessions.create(owner, NewSession(f"s{it}", "x")) for it in range(3)]
    sought = {"digest": {"every": 60}}
    numbers = [
        rules.create(sessions.find(name), ["@a"], ["@b"], name="digest", options=options).id
        for name, options in (("s0", sought), ("s1", {"delay": 5}), ("s2", sought))
    ]
    with base.transaction():
        cursors.save_many({made[0].id: {"later:s1:-5:0": "x"}})
    found = cursors.of_digests()
    assert [(it["rule_id"], it["session"], it["name"], it["fields"]) for it in found] == [
        (numbers[0], "s0", "digest", {"later:s1:-5:0": "x"}),
        (numbers[2], "s2", "digest", {}),
    ]
    assert [it["session"] for it in cursors.of_digests(session="s2")] == ["s2"]
    assert [it["session"] for it in cursors.of_digests("alice", numbers[0])] == ["s0"]
    assert not cursors.of_digests("nobody")
