"""Whatever dies between two steps, a capped rule sends no more, and loses nothing."""

from __future__ import annotations

import random
from collections import Counter

from support.caps import HOUR, Bench, capped, in_loop


def test_a_crash_at_any_step_lets_no_more_through_and_loses_nothing() -> None:
    """Messages are sent after the commit that stores their count, as in ``is_stored``."""

    async def scenario() -> None:
        for seed in range(20):
            await crashes(random.Random(seed))

    in_loop(scenario)


async def crashes(rng: random.Random) -> None:
    it = Bench(capped(3, 20))
    posted, done = 0, Counter[int]()
    in_hour: Counter[float] = Counter()
    cursor = 0
    for _ in range(120):
        step = rng.choice(("post", "post", "time", "commit", "crash"))
        if step == "post":
            posted += 1
            it.offer(posted)
        elif step == "time":
            it.now += rng.choice((60.0, 1_200.0))
            it.later._turn()
        elif step == "commit":
            it.commit()
            for number in it.sent:  # the lane sends them now, once
                if not done[number]:
                    in_hour[it.now // HOUR] += 1
                    done[number] += 1
            it.settle(len(it.sent))
            it.sent, cursor = [], posted
        else:
            it.later.end()
            it.sent = []
            # What is stored is the last commit; what the lane had is replayed from its outbox.
            it.later = it.made()
            for number in range(cursor + 1, posted + 1):
                it.offer(number)
    assert max(in_hour.values(), default=0) <= 3
    for _ in range(60):
        it.commit()
        done.update(it.sent)
        it.settle(len(it.sent))
        it.sent = []
        it.now += HOUR
        it.later._turn()
    done.update(it.sent)
    assert sorted(done) == list(range(1, posted + 1)), "nothing is lost"
