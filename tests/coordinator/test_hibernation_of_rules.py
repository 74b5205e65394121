"""Rules that change while their session falls asleep, or wakes."""

from __future__ import annotations

from datetime import timedelta

import pytest
from support.hibernating import caught_up, session, sleep, state, ticks
from support.term_harness import TermHarness, add, placed, running

from models.storage import assignments, rules


@pytest.fixture
def made(harness: TermHarness) -> list[int]:
    """Three sessions that run on one node."""
    harness.add_node("w1")
    found = add("alice", 3)
    harness.until(lambda: running() == set(found))
    return found


def test_a_rule_that_is_added_wakes_it_until_it_runs_with_it(
    harness: TermHarness, made: list[int]
) -> None:
    sleep(made[0])
    harness.until(lambda: made[0] not in placed())
    rules.create(session(made[0]), ["@a"], ["@b"], name="more")
    harness.until(lambda: made[0] in running())
    [active] = [it for it in assignments.active() if it.session == made[0]]
    assert active.revision == session(made[0]).revision
    caught_up(harness, made[0])
    harness.until(lambda: state(made[0]) == "hibernated")


def test_a_rule_that_changes_while_it_is_about_to_sleep_is_not_slept_over(
    harness: TermHarness, made: list[int]
) -> None:
    sleep(made[0], after=timedelta(seconds=-1))
    harness.until(lambda: len(harness.sent("start", made[0])) == 2 and made[0] in running())
    caught_up(harness, made[0])
    rules.create(session(made[0]), ["@a"], ["@b"], name="more")
    harness.until(lambda: len(harness.sent("start", made[0])) == 3 and made[0] in running())
    [active] = [it for it in assignments.active() if it.session == made[0]]
    assert active.revision == session(made[0]).revision


@pytest.mark.parametrize("is_late", [False, True], ids=["before it runs", "as it runs"])
def test_a_rule_that_changes_while_it_wakes_is_not_slept_over(
    harness: TermHarness, made: list[int], is_late: bool
) -> None:
    """It runs with the old rules first: that it has caught up with those counts for nothing."""
    sleep(made[0], after=timedelta(seconds=-1))
    harness.until(lambda: made[0] not in placed())
    harness.obeying = is_late
    harness.until(lambda: len(harness.sent("start", made[0])) == 2)
    rules.create(session(made[0]), ["@a"], ["@b"], name="more")
    harness.obeying = True
    caught_up(harness, made[0])
    harness.until(lambda: len(harness.sent("start", made[0])) == 3 and made[0] in running())
    [active] = [it for it in assignments.active() if it.session == made[0]]
    assert active.revision == session(made[0]).revision
    ticks(harness)
    assert made[0] in running()  # it has not said yet that it has caught up with these
    caught_up(harness, made[0])
    harness.until(lambda: state(made[0]) == "hibernated")
    assert not harness.ran_twice
