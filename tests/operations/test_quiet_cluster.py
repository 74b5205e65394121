"""A backup is restored only into a cluster at rest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import redis as redis_module

from afx.cluster import keys
from afx.cluster.registry import Identity, Metrics, Registry
from afx.config import Settings, load
from afx.errors import UsageError
from afx.operations import backups
from afx.operations.change import Operator


@pytest.fixture
def settings(home: Path, redis_url: str) -> Settings:
    return load(home=home, redis_url=redis_url)


def test_a_backup_is_made_while_the_cluster_runs(home: Path, database: Any) -> None:
    operator = Operator("test", b"key")
    contents = backups.make(operator, home / "b.gz", lambda *_: None, overwrite=False)
    assert contents.tables["sessions"] == 0


def test_a_restore_begins_when_no_node_and_no_coordinator_is_live(
    settings: Settings, redis: redis_module.Redis
) -> None:
    with backups.quiet_cluster(settings, force=True) as client:
        assert client is not None


@pytest.mark.parametrize("live", ["a node", "a coordinator"])
def test_a_restore_is_refused_while_a_node_or_a_coordinator_is_live(
    settings: Settings, redis: redis_module.Redis, live: str
) -> None:
    if live == "a node":
        metrics = Metrics(0, 0, 0, 0.0, 0, 0, 0)
        Registry(redis).register(Identity("w1", "one", "h", "boot", "", "1:1", 5), metrics)
    else:
        redis.set(keys.LEADER, "host:1:x")
    with pytest.raises(UsageError, match="The cluster runs"):
        with backups.quiet_cluster(settings, force=True):
            pytest.fail("a restore began")
