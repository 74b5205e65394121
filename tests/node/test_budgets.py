"""An account's budgets: learned from waits, kept over restarts, forgotten in time."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.sandbox import SandboxHarness, run_scenario, until
from support.sessions import one_rule, say, texts

from afx.cluster.budget_fields import (
    StoredBudget,
    StoredJoins,
    budget_value,
    field_of,
    joins_value,
    parse_budget,
    parse_joins,
)
from afx.forwarding.outputs import output_number
from afx.node.budgets import JOINS_AT_ONCE, JOINS_PER_DAY, Budgets
from afx.node.waits import ALL, Waits

JOIN = "channels.JoinChannel"


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


RNG = random.Random(1)


def budgets(clock: Clock | None = None) -> tuple[Budgets, Clock]:
    clock = clock or Clock()
    return Budgets(clock, RNG), clock


def reloaded(it: Budgets, clock: Clock) -> Budgets:
    fields = it.fields()
    again, _ = budgets(clock)
    again.load(dict(zip(fields[::2], fields[1::2], strict=True)))
    return again


def limited(sent: int = 40) -> tuple[Budgets, Clock]:
    """Budgets that have met two waits, with so many requests in a minute between."""
    it, clock = budgets()
    it.note(-5, 30)
    clock.now += 31
    it.take(-5, sent)
    it.note(-5, 30)
    clock.now += 30
    return it, clock


def test_one_wait_is_obeyed_and_makes_no_budget() -> None:
    it, clock = budgets()
    it.note(-5, 30)
    clock.now += 30
    it.take(-5, 1_000)
    assert (it.left(-5), it.room(-5, 50), it.fields()) == (0, 50, [])


def test_a_second_wait_within_an_hour_halves_what_was_sent_in_a_minute() -> None:
    it, clock = limited(40)
    assert it.room(-5, 50) == 0
    assert it.left(-5) == pytest.approx(3, abs=0.01)  # twenty a minute
    clock.now += 3.01
    assert (it.room(-5, 50), it.left(-5)) == (1, 0)
    it.take(-5)
    assert it.room(-5, 50) == 0
    clock.now += 600
    assert it.room(-5, 50) == 20, "a burst is a minute's requests"
    assert it.room(-6, 50) == 50, "another destination has none"


def test_each_further_wait_halves_it_again_and_not_below_a_least_one() -> None:
    it, clock = limited(40)
    rates = []
    for _ in range(6):
        clock.now += 60
        it.note(-5, 30)
        clock.now += 30
        rates.append(60 / it.left(-5))
    assert rates == pytest.approx([10, 5, 2.5, 2, 2, 2], rel=0.01)


def test_waits_of_requests_that_were_in_flight_together_are_one() -> None:
    it, clock = budgets()
    for seconds in (30, 29, 31):
        it.note(-5, seconds)
        clock.now += 0.1
    assert it.room(-5, 50) == 50
    it.note(-6, 1)
    it.note(-6, 1)
    assert it.room(-6, 50) == 50, "short ones are the pace of a burst"


def test_each_hour_without_a_wait_doubles_it_until_it_is_forgotten() -> None:
    it, clock = limited(40)
    clock.now += 3_600
    assert it.room(-5, 500) == 40
    clock.now += 3_600
    assert it.room(-5, 500) == 80
    clock.now += 5 * 3_600
    assert it.room(-5, 500) == 500
    assert not it
    assert it.fields()[-2:] == ["budget:-5", ""]


def test_a_budget_is_kept_over_a_restart_and_begins_empty() -> None:
    it, clock = limited(40)
    clock.now += 600
    again = reloaded(it, clock)
    assert again.room(-5, 50) == 0
    clock.now += 60
    assert again.room(-5, 50) == 20
    clock.now += 3_600
    assert again.room(-5, 500) == 40, "its hours count on"
    assert again.fields() == []
    again.mark_all()
    assert again.fields() == ["budget:-5", f"20.000:{clock.now - 4_260:.0f}"]


def test_a_clock_that_is_set_back_lets_no_budget_grow_or_hold_for_ever() -> None:
    it, clock = limited(40)
    clock.now -= 100_000
    assert it.left(-5) <= 100_000 + 60
    clock.now += 100_000 + 61
    assert it.room(-5, 50) == 20


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("budget:-5", "x"),
        ("budget:-5", "0:1"),
        ("budget:-5", "-1:1"),
        ("budget:-5", "1e3:1"),
        ("budget:-5", "nan:1"),
        ("budget:-5", "5:99999999999"),
        ("budget:-5", ""),
        ("budget:²", "5:1"),
        ("budget:a.b.c", "5:1"),
        ("budget:joins", "1"),
        ("budget:joins", "1:1:99999999999"),
    ],
)
def test_a_stored_budget_that_is_malformed_is_none(field: str, value: str) -> None:
    it, _ = budgets()
    it.load({field: value})
    assert not it
    assert it.left(-5) == 0
    assert it.left(JOIN) == 0


@given(
    st.integers(-(10**18), 10**18),
    st.floats(0.001, 99_999),
    st.integers(0, 10**10),
    st.floats(0, 3),
)
def test_what_is_stored_is_read_as_it_was(key: int, rate: float, at: int, left: float) -> None:
    found = parse_budget(field_of(key), budget_value(StoredBudget(key, rate, at)))
    assert found is not None
    assert (found.key, found.until) == (key, at)
    assert found.per_minute == pytest.approx(rate, abs=0.001)
    joins = parse_joins(joins_value(StoredJoins(left, at, at + 5)))
    assert joins is not None
    assert (joins.at, joins.next) == (at, at + 5)


def test_joins_are_few_a_day_and_apart_by_chance() -> None:
    it, clock = budgets()
    joined: list[float] = []
    end = clock.now + 3 * 86_400
    while clock.now < end:
        if left := it.left(JOIN):
            clock.now += left + 0.01
            continue
        it.take(JOIN)
        joined.append(clock.now)
        it = reloaded(it, clock) if len(joined) % 2 else it  # also over restarts
    assert 3 * JOINS_PER_DAY <= len(joined) <= 3 * JOINS_PER_DAY + JOINS_AT_ONCE
    pauses = [b - a for a, b in itertools.pairwise(joined)]
    assert min(pauses) >= 60
    assert pauses[0] != pauses[1]
    it.take(JOIN)
    assert it.left("messages.ImportChatInvite") > 0, "both ways to join have one budget"


def test_sends_take_from_the_budget_of_their_chat_and_of_all() -> None:
    clock = Clock()
    waits = Waits(clock)
    for _ in range(2):
        waits.take(-5, 10)
        waits.take(-6, 10)
        waits.note(ALL, 30, "FLOOD_WAIT")
        clock.now += 31
    clock.now += 60
    assert waits.room(-7, 50) == 10
    waits.take(-7, 10)
    assert (waits.room(-8, 50), waits.left(-8)) == (0, 0)
    assert waits.held(-8) > 0
    assert waits.held("messages.GetHistory") == 0


def test_what_was_taken_beyond_a_budget_leaves_no_room() -> None:
    it, _ = limited(40)
    it.take(-5, 10)
    assert it.room(-5, 50) == 0
    assert it.left(-5) == pytest.approx(33, abs=0.1)


def test_slow_mode_and_limits_of_spam_make_no_budget() -> None:
    clock = Clock()
    waits = Waits(clock)
    for reason in ("SLOWMODE_WAIT", "PEER_FLOOD"):
        for _ in range(3):
            waits.note(-5, 30, reason)
            clock.now += 31
    assert waits.room(-5, 50) == 50


def test_an_album_is_sent_whole_though_less_is_allowed() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        kept = session.forwarder.waits.budgets
        now = session.forwarder.waits._now()
        kept.load({f"budget:{to.marked}": f"300:{now - 10:.0f}"})  # one in 0.2 s
        world = sandbox.server.world
        for number in range(4):
            media = world.files.add(f"{number}".encode(), is_photo=True)
            message, event = world.post(source, 0, f"p{number}", media=media, grouped=5)
            sandbox.server.pushes.channel_event(source, event, message)
        say(sandbox, source, "behind it")
        await until(lambda: texts(to) == ["p0", "p1", "p2", "p3", "behind it"])
        copies = list(to.box.messages.values())
        assert len({it.grouped for it in copies[:4]}) == 1 and copies[0].grouped
        await session.stop()

    run_scenario(scenario)


def test_a_lane_and_tasks_share_a_budget_and_lose_nothing() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        kept = session.forwarder.waits.budgets
        now = session.forwarder.waits._now()
        # Of 600 a minute: ten a second, and none at once.
        kept.load({f"budget:{to.marked}": f"600:{now - 10:.0f}"})
        say(sandbox, source, *map(str, range(12)))
        await until(lambda: texts(to) == [str(it) for it in range(12)])
        assert session.forwarder.waits._now() - now >= 1.0
        it = kept._watched[to.marked]
        it.tokens, it.per_minute = 0.0, 2.0
        assert session.wait_left(to.marked) > 20
        await session.stop()

    run_scenario(scenario)


def test_what_goes_to_a_webhook_or_a_file_is_no_send_of_the_account() -> None:
    clock = Clock()
    waits, to = Waits(clock, RNG), output_number("file:copies.jsonl")
    for _ in range(2):
        waits.take(-5, 40)
        waits.note(-5, 30, "FLOOD_WAIT")
        waits.note(ALL, 30, "FLOOD_WAIT")
        clock.now += 31
    clock.now += 60
    room = waits.room(-5, 50)
    assert 0 < room < 50 == waits.room(to, 50)
    waits.take(to, 1_000)
    assert waits.room(-5, 50) == room
    waits.note(ALL, 300, "PEER_FLOOD")
    assert waits.left(-5) > 0 == waits.left(to) == waits.held(to)
