"""Copies of links in SQL."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from models.base import transaction, utc_now
from models.storage import links, rules, sessions, users
from models.storage.links import Block
from models.storage.sessions import NewSession


@pytest.fixture
def rule(database: Any) -> int:
    del database
    owner = users.create("alice")
    sessions.create_many(owner, [NewSession("one", "sealed")])
    made: int = rules.create(sessions.find("one"), ["@a_source"], ["@the_copies"]).id
    return made


def save(*blocks: Block) -> None:
    with transaction():
        links.save_many(blocks)


def test_a_block_is_stored_once_and_the_newest_content_counts(rule: int) -> None:
    save(Block(rule, -(10**12), 5, 0, "AAAA"), Block(rule, -(10**12), 5, 1, "BBBB"))
    save(Block(rule, -(10**12), 5, 0, "CCCC"))
    found = links.page(0, 10)
    assert [(it.number, it.links) for _, _, it in found] == [(0, "CCCC"), (1, "BBBB")]
    assert links.page(found[0][0], 10) == found[1:]


def test_blocks_of_removed_rules_are_neither_stored_nor_left(rule: int) -> None:
    save(Block(rule, 1, 2, 0, "AAAA"), Block(rule + 1, 1, 2, 0, "AAAA"))
    assert len(links.page(0, 10)) == 1
    assert links.existing_rules([rule, rule + 1]) == {rule}
    assert links.existing_rules([]) == set()
    rules.remove(rules.find(str(rule)))
    assert not links.page(0, 10)


def test_blocks_that_have_not_changed_for_long_are_pruned_some_at_a_time(rule: int) -> None:
    save(*(Block(rule, 1, 2, number, "AAAA") for number in range(3)))
    later = utc_now() + timedelta(seconds=1)
    assert links.prune(utc_now() - timedelta(days=1), 10) == 0
    assert [links.prune(later, 2), links.prune(later, 2)] == [2, 1]
