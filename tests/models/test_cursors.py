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
    assert cursors.of_sessions([it.id for it in made]) == {made[0].id: {"later:s1:-5:0": "x"}}
    found = [tuple(it) for it in rules.with_digests()]
    assert found == [
        (numbers[0], made[0].id, "s0", "digest"),
        (numbers[2], made[2].id, "s2", "digest"),
    ]
    assert [tuple(it) for it in rules.with_digests(session="s2")] == found[1:]
    assert [tuple(it) for it in rules.with_digests("alice", numbers[0])] == found[:1]
    assert not rules.with_digests("nobody")
