"""What sessions that hibernate may take from others when they wake."""

from __future__ import annotations

from datetime import timedelta

from support.term_harness import TermHarness, add, running

from models.base import utc_now
from models.storage import hibernation, sessions, users
from models.tables import Session


def test_a_premium_session_that_wakes_for_a_short_time_stops_no_free_one(
    harness: TermHarness,
) -> None:
    harness.add_node("w1", most=1)
    [free] = add("bob", 1)
    users.set_tier(users.find("bob"), "free")
    harness.until(lambda: running() == {free})
    Session.update(moved_at=None).execute()
    [gold] = add("gina", 1)
    users.set_tier(users.find("gina"), "premium")
    hibernation.request(Session.get_by_id(gold), utc_now() - timedelta(seconds=1))
    harness.until(lambda: Session.get_by_id(gold).awake_at is not None)
    for _ in range(40):
        harness.tick()
    assert running() == {free}
    sessions.set_desired_state(Session.get_by_id(gold), "running")  # for good
    harness.until(lambda: running() == {gold})
