"""An account that was signed in lately sends and joins little, and more each day."""

from __future__ import annotations

import itertools
import random

import pytest
from support.sandbox import SandboxHarness, run_scenario, until
from support.sessions import one_rule, say, texts

from afx.forwarding.outputs import output_number
from afx.node.budgets import JOINS_PER_DAY, Budgets
from afx.node.ramp import FIRST_JOINS_PER_DAY, FIRST_PER_MINUTE
from afx.node.waits import Waits

DAY = 86_400.0
JOIN = "channels.JoinChannel"


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def new_account(days: float = 7) -> tuple[Waits, Clock]:
    clock = Clock()
    waits = Waits(clock, random.Random(1))
    waits.budgets.begin_slowly(clock.now, days * DAY)
    return waits, clock


def sent_in(waits: Waits, clock: Clock, seconds: float) -> int:
    """Send to two chats by turns for some time; returns how much was sent."""
    end, count = clock.now + seconds, 0
    for chat in itertools.cycle((-5, -6)):
        if clock.now >= end:
            return count
        if waits.room(chat, 50):
            waits.take(chat)
            count += 1
        else:
            clock.now += max(0.01, waits.held(chat))
    return count


@pytest.mark.parametrize("day", [0, 1, 3])
def test_each_day_it_sends_twice_as_much_to_all_chats_together(day: int) -> None:
    waits, clock = new_account()
    clock.now += day * DAY
    sent_in(waits, clock, 120)  # what it may send at once
    wanted = 10 * FIRST_PER_MINUTE * 2**day
    assert sent_in(waits, clock, 600) == pytest.approx(wanted, rel=0.02)


def test_a_few_messages_are_sent_at_once() -> None:
    waits, _ = new_account()
    assert waits.room(-5, 50) == 5


def test_after_its_days_it_is_like_any_other_one() -> None:
    waits, clock = new_account()
    waits.take(-5, 50)
    assert waits.held(-6) > 60
    clock.now += 7 * DAY
    assert (waits.held(-6), waits.room(-6, 50), waits.budgets.left(JOIN)) == (0, 50, 0)
    assert not waits.budgets


def test_what_an_output_gets_is_nothing_that_telegram_sees() -> None:
    waits, _ = new_account()
    waits.take(-5, 50)
    assert waits.room(output_number("file:a.jsonl"), 50) == 50
    assert waits.held("messages.GetHistory") == 0


def test_a_learned_budget_that_is_smaller_counts() -> None:
    waits, clock = new_account()
    clock.now += 5 * DAY
    for _ in range(2):
        waits.take(0, 4)
        waits.note(0, 30, "FLOOD_WAIT")
        clock.now += 31
    sent_in(waits, clock, 120)
    assert sent_in(waits, clock, 600) < 60


def test_it_joins_little_at_first_and_more_each_day() -> None:
    waits, clock = new_account()
    joined = []
    for _ in range(7):
        end, count = clock.now + DAY, 0
        while clock.now < end:
            if left := waits.budgets.left(JOIN):
                clock.now = min(end, clock.now + left + 0.01)
                continue
            waits.budgets.take(JOIN)
            count += 1
        joined.append(count)
    assert joined[0] <= FIRST_JOINS_PER_DAY + 1
    assert joined == sorted(joined)
    assert joined[-1] <= JOINS_PER_DAY


def test_a_restart_is_no_new_day_and_no_burst() -> None:
    clock = Clock()
    since = clock.now - 2 * DAY
    it = Budgets(clock, random.Random(1))
    it.begin_slowly(since, 7 * DAY)
    assert it.room(0, 50) == 5
    it.begin_slowly(since - 6 * DAY, 7 * DAY)
    assert it.room(0, 50) == 50


def test_what_waits_for_a_new_account_is_sent_later_and_in_order() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy"))
        now = harness.clock.time()
        # Its 12th day, at 1,365 a second: as quick as a test wants it, and still a bound.
        session.forwarder.waits.budgets.begin_slowly(now - 12 * DAY, 20 * DAY)
        await session.start()
        wanted = [f"message {it}" for it in range(60)]
        say(sandbox, source, *wanted)
        await until(lambda: texts(to) == wanted)
        assert session.forwarder.waits.budgets
        await session.stop()

    run_scenario(scenario)
