"""How often a leader waits for Redis in one round: when Redis is far away, that is its time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis as redis_module
from support.term_harness import TermHarness, add, running

IN_ANY_ROUND = 20
IN_A_USUAL_ROUND = 6


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """What was sent to Redis, a number for each time that the sender waits for an answer."""
    sent: list[int] = []
    send = redis_module.Connection.send_packed_command

    def note(self: redis_module.Connection, *args: object, **options: object) -> object:
        sent.append(1)
        return send(self, *args, **options)

    monkeypatch.setattr("redis.connection.AbstractConnection.send_packed_command", note)
    yield sent


def test_a_round_has_few_round_trips(harness: TermHarness, calls: list[int]) -> None:
    for name in ("w1", "w2", "w3"):
        harness.add_node(name)
    ids = add("alice", 12)
    rounds = []
    tick = harness.term.tick

    def count() -> bool:
        calls.clear()
        restart = tick()
        rounds.append(len(calls))
        return restart

    harness.term.tick = count  # type: ignore[method-assign]
    harness.until(lambda: running() == set(ids))
    for _ in range(40):
        harness.tick()
    assert max(rounds) <= IN_ANY_ROUND, rounds
    assert sorted(rounds)[len(rounds) // 2] <= IN_A_USUAL_ROUND, rounds


def test_each_part_of_a_round_is_progress(
    harness: TermHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a leader whose Redis is far away is taken for one that hangs, again and again."""
    harness.tick()
    noted: list[float] = []
    monkeypatch.setattr(harness.leadership, "note_progress", lambda: noted.append(harness.now))
    harness.tick()
    assert len(noted) >= 6
