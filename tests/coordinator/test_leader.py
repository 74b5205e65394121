"""The leadership, on a real Redis that is restarted and replaced."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from afx.cluster.connection import connect
from afx.cluster.leadership import Leader
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


def leads(leader: Leader) -> bool:
    try:
        leader.check()
    except FencedError:
        return False
    return True


def test_a_leader_stays_one_for_longer_than_one_renewal_lasts(server: Path) -> None:
    leader = Leader(private_redis.url_for(server), 2.0, 1.5)
    assert leader.acquire()
    begun = time.monotonic()
    wait(lambda: not leads(leader) or time.monotonic() - begun > 2.5)
    assert leads(leader)
    leader.close()


def test_a_redis_that_restarts_unnoticed_ends_the_leadership(server: Path) -> None:
    """Its key comes back from the disk, and connections are opened again in silence."""
    url = private_redis.url_for(server)
    leader = Leader(url, 60.0, 30.0)
    assert leader.acquire()
    client = connect(url)
    client.waitaof(1, 0, 2000)
    os.kill(int(client.info("server")["process_id"]), signal.SIGKILL)
    client.close()
    wait(lambda: not private_redis.is_running(server))
    private_redis.ensure(server)
    wait(lambda: not leads(leader))
    first = leader.term
    leader.resign()
    assert leader.acquire()
    assert leader.term > first
    leader.close()


def test_a_standby_takes_over_at_once_from_a_leader_that_resigns(server: Path) -> None:
    one, two = (Leader(private_redis.url_for(server), 5.0, 3.0) for _ in range(2))
    assert (one.acquire(), two.acquire()) == (True, False)
    one.resign()
    assert not leads(one)
    assert two.acquire() and two.term > one.term
    one.close()
    two.close()
