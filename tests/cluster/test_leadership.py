"""The election of leaders, on a real Redis that restarts."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis as redis_module

from afx.clock import SYSTEM_CLOCK, Clock
from afx.cluster import keys
from afx.cluster.connection import connect
from afx.cluster.leadership import (
    LeaderElection,
    LeaderRecord,
    Leadership,
    new_holder,
    read_leader,
)
from afx.errors import FencedError
from afx.local import private_redis


@pytest.fixture
def server(home: Path) -> Iterator[Path]:
    private_redis.ensure(home)
    yield home
    private_redis.stop(home)


def wait(done: Callable[[], bool], seconds: float = 10.0) -> None:
    until = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < until
        time.sleep(0.01)


def election(home: Path, ttl: float = 60.0, stop: float = 30.0) -> LeaderElection:
    return LeaderElection(
        private_redis.url_for(home),
        holder=new_holder(),
        ttl_seconds=ttl,
        stop_seconds=stop,
        clock=SYSTEM_CLOCK,
    )


def won(election: LeaderElection, above: int = 0) -> Leadership:
    leadership = election.acquire(above)
    assert leadership is not None
    return leadership


def leads(leadership: Leadership) -> bool:
    try:
        leadership.check()
    except FencedError:
        return False
    return True


def test_a_leader_leads_for_longer_than_one_renewal_lasts(server: Path) -> None:
    one = election(server, ttl=2.0, stop=1.5)
    leadership = won(one)
    begun = time.monotonic()
    wait(lambda: not leads(leadership) or time.monotonic() - begun > 2.5)
    assert leads(leadership)
    leadership.resign()
    one.close()


def test_a_leadership_that_is_not_renewed_expires_on_the_leaders_own_clock(server: Path) -> None:
    now = 100.0
    one = LeaderElection(
        private_redis.url_for(server),
        holder=new_holder(),
        ttl_seconds=60.0,
        stop_seconds=30.0,
        clock=Clock(boottime=lambda: now),
    )
    leadership = won(one)
    assert leads(leadership)
    now = 130.0
    assert not leads(leadership)
    leadership.resign()
    one.close()


def test_a_redis_that_restarts_ends_the_term(server: Path) -> None:
    """Its keys come back from the disk, and connections are opened again silently."""
    one = election(server)
    leadership = won(one)
    client = connect(private_redis.url_for(server))
    client.waitaof(1, 0, 2000)
    os.kill(int(client.info("server")["process_id"]), signal.SIGKILL)
    client.close()
    wait(lambda: not private_redis.is_running(server))
    private_redis.ensure(server)
    wait(lambda: not leads(leadership))
    leadership.resign()
    second = won(one)
    assert second.term > leadership.term
    second.resign()
    one.close()


def test_a_standby_takes_over_at_once_from_a_leader_that_resigns(server: Path) -> None:
    one, two = election(server), election(server)
    first = won(one)
    assert two.acquire() is None
    first.resign()
    assert not leads(first)
    second = won(two)
    assert second.term > first.term
    second.resign()
    one.close()
    two.close()


def test_the_leaders_record_names_its_host_process_and_term(redis: redis_module.Redis) -> None:
    assert read_leader(redis) is None
    redis.set(keys.TERM, 7)
    redis.set(keys.LEADER, "host:12:abc")
    assert read_leader(redis) == LeaderRecord("host", 12, 7)
    redis.set(keys.LEADER, "fe80::1:12:abc")
    assert read_leader(redis) == LeaderRecord("fe80::1", 12, 7)


@pytest.mark.parametrize("text", ["", "x", ":", "host:pid:abc", "host:abc"])
def test_a_malformed_leader_record_is_shown_unchanged(redis: redis_module.Redis, text: str) -> None:
    redis.set(keys.TERM, "many")
    redis.set(keys.LEADER, text)
    assert read_leader(redis) == (LeaderRecord(text, None, 0) if text else None)
