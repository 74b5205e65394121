"""A Redis that splits: nodes and coordinators on two primaries at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from support.cli_runs import runner
from support.labs import NewLab, assert_clean, start_flow
from support.redis_pair import RedisPair

from afx.app import context_for
from afx.cluster import keys, replication
from afx.errors import ConfigError
from afx.lab.accounts import alternate_modes
from afx.lab.cluster import LabCluster
from afx.operations import redis_checks
from models.storage import assignments

NewPair = Callable[..., RedisPair]


@pytest.fixture
def new_pair() -> Iterator[NewPair]:
    made: list[RedisPair] = []

    def make(**options: int) -> RedisPair:
        made.append(RedisPair(**options))
        return made[-1]

    yield make
    for it in made:
        it.close()


def wait_in_sync(lab: LabCluster, pair: RedisPair) -> None:
    lab.wait("the replica is in sync", pair.in_sync, 60)


def owners(lab: LabCluster) -> set[str]:
    return {it.worker for it in assignments.active()}


@pytest.mark.parametrize("failover", ["at once", "when the old primary refuses writes"])
def test_a_node_partitioned_with_the_old_primary_ends_before_its_sessions_start_elsewhere(
    pair: RedisPair, new_lab: NewLab, failover: str
) -> None:
    """The failover is as quick as no one could make it, or as slow as Sentinel's."""
    lab = new_lab(redis_url=pair.url)
    wait_in_sync(lab, pair)
    lab.processes.start_coordinator()
    lab.processes.start_node("partitioned", redis_url=pair.primary_url)
    lab.wait_nodes(1)
    lab.add_sessions(16, mode=alternate_modes)
    lab.wait_running()
    lab.processes.start_node("other")
    lab.wait_nodes(2)
    start_flow(lab, 900, 100)
    assert "partitioned" in owners(lab)
    incarnation = str(pair.primary.hget(keys.worker("partitioned"), "incarnation"))
    pair.promote()
    if failover != "at once":
        lab.wait(
            "the old primary refuses writes",
            lambda: not pair.primary.info("replication")["min_slaves_good_slaves"],
            60,
        )
    pair.fail_over()
    lab.wait("its sessions have another node", lambda: owners(lab) == {"other"}, 60)
    seq = pair.primary.hget(keys.worker("partitioned"), "seq")
    verdict = lab.wait_delivered(60)
    assert_clean(verdict)
    # It has found no way to renew its lease, and runs no session.
    assert pair.primary.hget(keys.worker("partitioned"), "seq") == seq
    assert "incarnation_ended" in lab.log.read_text()
    assert pair.replica.hget(keys.worker("partitioned"), "incarnation") == incarnation
    assert pair.replica.hget(keys.worker("partitioned"), "state") == "fenced"


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"to_write": 0}, "writes without any of them"),
        ({"max_lag": 0}, "writes without any of them"),
        ({"max_lag": 60}, "writes for 60 s"),
    ],
    ids=str,
)
def test_a_coordinator_does_not_start_on_a_redis_that_can_split(
    new_pair: NewPair, new_lab: NewLab, options: dict[str, int], complaint: str
) -> None:
    pair = new_pair(**options)
    lab = new_lab(redis_url=pair.url)
    wait_in_sync(lab, pair)
    refused = runner(lab.settings.home)("coordinator", "start", AFX_REDIS_URL=pair.url)
    assert refused.returncode == 2
    assert complaint in refused.stderr
    assert "set min-replicas-to-write to 1" in refused.stderr
    with pytest.raises(ConfigError, match=complaint):
        replication.require_safe(pair.primary)
    context = context_for(lab.settings, "test")
    failures = [it for it in redis_checks.check_redis(context.settings) if it.grade == "fail"]
    assert [it.what for it in failures if complaint in it.what]


def test_a_redis_that_does_not_write_without_a_replica_is_accepted(
    pair: RedisPair, new_lab: NewLab
) -> None:
    lab = new_lab(redis_url=pair.url)
    wait_in_sync(lab, pair)
    found = replication.read(pair.primary)
    assert (found.replicas, found.fault, found.split_seconds) == (1, "", 3.0)
    assert replication.read(pair.replica).is_replica
    grades = {it.what: it.grade for it in redis_checks.check_redis(lab.settings)}
    assert grades["1 replicas; it does not write without them"] == "ok"


def test_a_server_that_does_not_show_its_settings_is_judged_by_what_it_reports(
    pair: RedisPair, new_lab: NewLab
) -> None:
    lab = new_lab(redis_url=pair.url)
    wait_in_sync(lab, pair)
    pair.primary.acl_setuser(
        "limited", enabled=True, nopass=True, keys=["*"], commands=["+@all", "-config"]
    )
    limited = pair.primary
    limited.execute_command("AUTH", "limited", "")  # type: ignore[no-untyped-call]
    found = replication.read(limited)
    assert (found.to_write, found.max_lag, found.limits_writes) == (None, None, True)
    assert found.split_seconds == replication.LAG_LIMIT_SECONDS + 1
    limited.execute_command("AUTH", "default", "")  # type: ignore[no-untyped-call]
