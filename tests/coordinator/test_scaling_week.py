"""A week of load: nodes that follow the recommendations, against as many as the peak needs.

A model of a cluster: sessions come and go in a daily wave, with a flash crowd and nodes that
die; new nodes need 20 s, a drained one half a minute. The decision is the real one.
"""

from __future__ import annotations

import itertools
import math
import random
from dataclasses import dataclass, field
from functools import cache

from afx.coordinator.decisions.scale_in import NodeFigures
from afx.coordinator.decisions.scaling import Decision, Figures, Policy, State, decide

STEP = 10.0
DAY = 86_400.0
WEEK = 7 * DAY
CAPACITY = 1000
SESSION = 256 << 10
START_SECONDS = 20.0
DRAIN_SECONDS = 30.0
FLASH_AT, FLASH_SECONDS = 3.6 * DAY, 2 * 3600.0


def sessions_at(at: float, noise: float) -> int:
    """Return how many sessions there should be: 4,000 to 12,000, and a crowd of 5,000."""
    wave = 8000 - 4000 * math.cos(2 * math.pi * at / DAY)
    since = at - FLASH_AT
    crowd = 0.0
    if 0 <= since < FLASH_SECONDS:
        crowd = 5000 * min(1.0, since / 600)
    elif FLASH_SECONDS <= since < FLASH_SECONDS + 600:
        crowd = 5000 * (1 - (since - FLASH_SECONDS) / 600)
    return int(wave * (1 + noise) + crowd)


@dataclass(slots=True)
class Result:
    node_hours: float = 0.0
    peak: int = 0
    """The nodes that the highest demand fills to the target load, and the spare one."""
    longest_overflow: float = 0.0
    changes: list[tuple[float, Decision]] = field(default_factory=list)
    """When the number of nodes that are asked for changed, and how."""


@cache
def week(seed: int = 1) -> Result:
    rng = random.Random(seed)
    policy, result = Policy(), Result()
    numbers = iter(range(10**9))
    live: list[int] = [next(numbers) for _ in range(7)]
    starting: dict[int, float] = {}
    draining: dict[int, float] = {}
    deaths = sorted(rng.uniform(0, WEEK) for _ in range(12))
    state = State(0.0)
    noise, waiting_since, asked, now = 0.0, None, 7, 0.0
    while now < WEEK:
        now += STEP
        for it in [it for it, at in starting.items() if now >= at]:
            del starting[it]
            live.append(it)
        for it in [it for it, at in draining.items() if now >= at]:
            del draining[it]
        while deaths and deaths[0] <= now:
            deaths.pop(0)
            live.pop(rng.randrange(len(live)))
        noise = 0.98 * noise + rng.gauss(0, 0.003)
        wanted = sessions_at(now, noise)
        placed = min(wanted, len(live) * CAPACITY)
        overflow = wanted - placed
        if not overflow:
            waiting_since = None
        elif waiting_since is None:
            waiting_since = now
        else:
            result.longest_overflow = max(result.longest_overflow, now - waiting_since)
        each = placed // len(live)
        nodes = tuple(
            NodeFigures(
                f"w{it}",
                f"i{it}",
                each * SESSION,
                CAPACITY * SESSION,
                each,
                CAPACITY,
                min(1.0, 0.6 * each / CAPACITY),
            )
            for it in live
        )
        found, state = decide(policy, Figures(nodes, overflow, overflow * SESSION), state, now)
        missing = found.desired - len(live) - len(starting)
        for _ in range(max(0, missing)):
            starting[next(numbers)] = now + START_SECONDS
        if found.decision is Decision.IN:
            for name in found.removable:
                live.remove(int(name[1:]))
                draining[int(name[1:])] = now + DRAIN_SECONDS
        if found.desired != asked:
            direction = Decision.OUT if found.desired > asked else Decision.IN
            result.changes.append((now, direction))
            asked = found.desired
        count = len(live) + len(starting) + len(draining)
        result.node_hours += count * STEP / 3600
        needed = math.ceil(wanted / (policy.target_load * CAPACITY)) + policy.spare_nodes
        result.peak = max(result.peak, needed)
    return result


def test_scaling_needs_a_fifth_fewer_node_hours_than_nodes_for_the_peak() -> None:
    found = week()
    assert found.node_hours <= 0.8 * found.peak * WEEK / 3600


def test_no_session_waits_for_more_than_thirty_seconds() -> None:
    assert week().longest_overflow <= 30


def test_the_recommendations_do_not_flap() -> None:
    """No change is taken back within ten minutes, and a day has few turns."""
    changes = week().changes
    turns = [
        later - earlier
        for (earlier, first), (later, second) in itertools.pairwise(changes)
        if first is not second
    ]
    assert all(it >= 600 for it in turns)
    assert len(turns) <= 7 * 6
