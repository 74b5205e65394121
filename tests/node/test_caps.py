"""A rule's caps: what is more waits for the next hour or day, whatever dies meanwhile."""

from __future__ import annotations

from dataclasses import replace
from zoneinfo import ZoneInfo

from support.caps import DAY, HOUR, SOURCE, TO, Bench, capped, delivery, in_loop

from afx.forwarding.caps import Caps
from afx.forwarding.options import Options
from afx.forwarding.rules import Route
from afx.node.outboxes import Outboxes


def test_what_is_beyond_the_cap_waits_for_the_next_hour_in_its_order() -> None:
    async def scenario() -> None:
        it = Bench(capped(2))
        assert [it.offer(number) for number in range(1, 6)] == ["now"] * 2 + ["later"] * 3
        assert it.turn(49 * 60) == [1, 2]
        assert it.turn(60) == [3, 4], "the hour of the clock is over"
        assert it.offer(6) == "later" and it.turn(HOUR - 1) == []
        assert it.turn(1) == [5, 6]
        assert it.turn(HOUR) == [] and it.offer(7) == "now"

    in_loop(scenario)


def test_the_day_counts_beside_the_hour_and_begins_at_midnight_of_the_zone() -> None:
    async def scenario() -> None:
        it = Bench(replace(capped(), options=Options(caps=Caps(2, 3, ZoneInfo("Asia/Kolkata")))))
        for number in range(1, 6):
            it.offer(number)
        assert it.turn(0) == [1, 2]
        assert it.turn(20 * 60) == [3], "an hour of Kolkata ends at half past"
        assert it.later.gate.counts.reached(1, TO) == (
            f"{TO} has had its 3 of this day; it goes on at 2026-03-07 18:30 UTC"
        )
        assert it.turn(21 * HOUR) == []
        assert it.turn(HOUR) == [4, 5]

    in_loop(scenario)


def test_each_rule_has_caps_of_its_own_and_others_have_none() -> None:
    async def scenario() -> None:
        it = Bench(capped(1), capped(1, rule=2), Route(3, TO, "copy"))
        assert [it.offer(number) for number in (1, 2)] == ["now", "later"]
        assert it.offer(1, rule=2) == "now"
        assert [it.offer(number, rule=3) for number in (1, 2)] == ["now", "now"]

    in_loop(scenario)


def test_an_album_is_not_torn_apart_and_counts_by_its_items() -> None:
    async def scenario() -> None:
        it = Bench(capped(3))
        assert [it.offer(1), it.offer(2)] == ["now", "now"]
        assert [it.offer(number, album=9) for number in (3, 4, 5)] == ["now"] * 3
        assert it.offer(6) == "later"
        for number in (7, 8, 9, 10):
            it.offer(number, album=10)
        it.offer(11)
        it.restart()
        assert it.turn(50 * 60) == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
        assert it.turn(HOUR) == [11]

    in_loop(scenario)


def test_neither_a_restart_nor_a_flushed_redis_begins_a_new_count() -> None:
    async def scenario() -> None:
        it = Bench(capped(2))
        it.offer(1)
        it.restart()
        it.offer(2)
        it.commit()
        it.stored = {}
        it.later.mark_all()
        it.restart()
        assert it.offer(3) == "later" and it.turn(0) == [1, 2]

    in_loop(scenario)


def test_what_waits_in_the_lane_counts_in_the_hour_in_which_it_is_sent() -> None:
    async def scenario() -> None:
        it = Bench(capped(3))
        for number in range(1, 6):
            it.offer(number)
        assert it.sent == [1, 2, 3]
        it.sent = []
        it.settle(1)  # two stay in the lane, which has to wait
        assert it.turn(50 * 60) == [4], "the two count in this hour"
        outboxes = Outboxes()
        for number in (2, 3, 4):
            outboxes.of(TO).append(delivery(number))
        it.restart(outboxes)
        assert it.turn(HOUR) == []
        it.settle(3)
        assert it.turn(HOUR) == [5]

    in_loop(scenario)


def test_the_rule_says_that_it_waits_and_until_when() -> None:
    async def scenario() -> None:
        it = Bench(capped(1))
        it.offer(1)
        assert it.told == [], "a cap that is reached holds up nothing yet"
        it.offer(2)
        it.offer(3)
        assert it.told == [f"{TO} has had its 1 of this hour; it goes on at 2026-03-06 21:00 UTC"]
        it.turn(50 * 60)
        assert it.told[1:] == [
            f"{TO} has had its 1 of this hour; it goes on at 2026-03-06 22:00 UTC"
        ]
        it.turn(HOUR)
        assert it.told[2:] == [""]

    in_loop(scenario)


def test_without_its_caps_a_rule_sends_all_and_its_count_is_forgotten() -> None:
    async def scenario() -> None:
        it = Bench(capped(1))
        it.offer(1)
        it.offer(2)
        it.commit()
        assert f"cap:1:{TO}" in it.stored
        it.later.use_routes({SOURCE: (Route(1, TO, "copy"),)}, {})
        assert it.turn(0) == [1, 2] and it.told[-1] == ""
        it.commit()
        assert f"cap:1:{TO}" not in it.stored

    in_loop(scenario)


def test_a_clock_that_goes_back_gives_no_new_hour_and_a_wrong_one_is_forgotten() -> None:
    async def scenario() -> None:
        it = Bench(capped(1))
        it.offer(1)
        it.now -= HOUR
        assert it.offer(2) == "later" and it.turn(HOUR) == [1]
        it.stored[f"cap:1:{TO}"] = f"{int(it.now + 30 * DAY)}:1:{int(it.now + 30 * DAY)}:1"
        it.later = it.made()
        assert it.offer(3) == "now"

    in_loop(scenario)


def test_an_album_stays_whole_when_another_source_posts_between_its_items() -> None:
    async def scenario() -> None:
        it = Bench(capped(1))
        assert it.offer(1, album=9) == "now"
        assert it.offer(1, chat=SOURCE - 1) == "later"
        assert it.offer(2, album=9) == "now"
        assert it.offer(3) == "later"

    in_loop(scenario)


def test_what_was_never_given_to_the_lane_leaves_no_room_in_the_next_hour() -> None:
    async def scenario() -> None:
        it = Bench(capped(3))
        for number in range(1, 6):
            it.offer(number)
        it.later.gate.counts.settled(1, TO)  # such as a message that no transform can cope with
        it.now += 50 * 60
        it.later._turn()
        assert it.sent == [1, 2, 3], "all three still wait, and fill this hour"

    in_loop(scenario)


def test_what_the_lane_has_already_counts_once() -> None:
    async def scenario() -> None:
        it = Bench(capped(2))
        for number in range(1, 5):
            it.offer(number)
        it.settle(2)
        it.lane.append(3)  # a crash has cut the commit that moved it
        it.now += 50 * 60
        it.sent = []
        it.later._turn()
        assert it.sent == [4] and it.lane == [3, 4]
        it.settle(2)
        it.sent = []
        assert it.offer(5) == "later" and it.turn(HOUR) == [5]

    in_loop(scenario)
