"""Nodes' records in Redis: what is malformed ends no reader, and hides no node."""

from __future__ import annotations

import contextlib

import pytest
import redis as redis_module
from hypothesis import given
from hypothesis import strategies as st

from afx.cluster import keys, worker_records
from afx.cluster.registry import Registry
from afx.cluster.worker_records import UNREADABLE_SEQ, Identity, Metrics, WorkerView

METRICS = Metrics(
    rss=1, ram_free=2**30, ram_limit=2**31, cpu=0.1, sessions=0, starting=0, forwarded=0
)
FIELDS = [
    *worker_records._INTEGERS,
    *("incarnation", "state", "hostname", "boot_id", "pid_namespace", "processes"),
    *("ended", "seen", "cpu", "labels", "reconciled_term"),
]


@pytest.fixture
def nodes(redis: redis_module.Redis) -> Registry:
    found = Registry(redis)
    assert found.register(Identity("w1", "one", "host", "boot", "pids", "1:1", 10), METRICS)
    redis.set(keys.TERM, 1)
    return found


def node(nodes: Registry) -> WorkerView:
    [found] = nodes.all()
    return found


@given(st.dictionaries(st.sampled_from(FIELDS), st.text(), min_size=1))
def test_any_record_is_read_without_an_error(fields: dict[str, str]) -> None:
    with contextlib.suppress(ValueError):
        worker_records.parse_view("w1", {"incarnation": "one", **fields})


@pytest.mark.parametrize("value", ["", "many", "-", "1.5", "9" * 30, "٣", "nan"])
@pytest.mark.parametrize("field", ["max_sessions", "assigned", "ram_free", "reserved"])
def test_a_node_with_a_malformed_number_gets_no_session(
    nodes: Registry, redis: redis_module.Redis, field: str, value: str
) -> None:
    redis.hset(keys.worker("w1"), field, value)
    assert node(nodes).assigned >= node(nodes).max_sessions >= 1


@pytest.mark.parametrize("labels", ["[", "[1]", "3", '{"region": 5}', '{"a":' * 2000])
def test_malformed_labels_are_no_labels(
    nodes: Registry, redis: redis_module.Redis, labels: str
) -> None:
    redis.hset(keys.worker("w1"), "labels", labels)
    assert node(nodes).labels == {}


def test_an_unknown_state_of_a_newer_version_is_not_ready(
    nodes: Registry, redis: redis_module.Redis
) -> None:
    redis.hset(keys.worker("w1"), "state", "resting")
    assert node(nodes).state == "cordoned"


def test_a_node_whose_heartbeat_counter_is_malformed_can_be_fenced(
    nodes: Registry, redis: redis_module.Redis
) -> None:
    redis.hset(keys.worker("w1"), "seq", "many")
    assert node(nodes).seq == UNREADABLE_SEQ
    run_id = redis.info("server")["run_id"]
    assert nodes.fence("w1", "one", term=1, run_id=run_id, seq=UNREADABLE_SEQ)
    assert node(nodes).state == "fenced"


def test_a_counter_that_can_be_read_again_keeps_the_node_from_being_fenced(
    nodes: Registry, redis: redis_module.Redis
) -> None:
    redis.hset(keys.worker("w1"), "seq", "many")
    redis.hset(keys.worker("w1"), "seq", 7)
    run_id = redis.info("server")["run_id"]
    assert not nodes.fence("w1", "one", term=1, run_id=run_id, seq=UNREADABLE_SEQ)
