"""What an outbox knows of its references, and the room that it takes."""

from __future__ import annotations

import random
import tracemalloc
from collections import Counter

import pytest

from afx.forwarding.pipeline import Delivery
from afx.node.known_references import KnownReferences
from afx.node.outbox import Outbox


def delivery(message: int, rule: int = 1) -> Delivery:
    return Delivery(rule, "copy", -1_000_000_000_005, message, 3, 1, "", (), False)


@pytest.mark.parametrize("seed", range(10))
def test_references_are_known_from_when_they_come_until_they_leave(seed: int) -> None:
    chance = random.Random(seed)
    known = KnownReferences([])
    wanted: Counter[tuple[int, int, int]] = Counter()
    waiting: list[tuple[int, int, int]] = []
    newest = 0
    for _ in range(3_000):
        if waiting and chance.random() < 0.48:
            at = 0 if chance.random() < 0.9 else chance.randrange(len(waiting))
            gone = waiting.pop(at)
            known.discard(*gone)
            wanted[gone] -= 1
        else:
            newest += chance.randrange(3)
            message = newest if chance.random() < 0.9 else chance.randrange(newest + 1)
            made = (chance.randrange(2), 5, message)
            waiting.append(made)
            known.add(*made)
            wanted[made] += 1
        probe = (chance.randrange(2), 5, chance.randrange(newest + 2))
        assert (probe in known) == (wanted[probe] > 0)
    known.discard(7, 7, 7)
    assert (7, 7, 7) not in known


def test_a_replayed_message_does_not_make_a_long_outbox_large() -> None:
    made = Outbox(3)
    for message in range(1, 700_001, 7):
        made.append(delivery(message))
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    assert made.contains(delivery(8))
    assert not made.contains(delivery(9))
    held = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert held < 8 * made.count, f"{held / made.count:.1f} bytes for each reference"


def test_an_outbox_that_never_empties_does_not_grow() -> None:
    made = Outbox(3)
    for message in range(1, 1_001):
        made.append(delivery(message))
    assert made.contains(delivery(5))
    for message in range(1_001, 30_001):
        made.append(delivery(message))
        [ticket] = made.begin(1)
        ticket.open = 0
        made.advance()
    assert made.count == 1_000
    assert made.contains(delivery(29_001))
    assert not made.contains(delivery(29_000))
    assert made._known is not None
    assert sum(len(it.ids) for it in made._known._ids.values()) <= 2_100
