"""A backup is restored only into a cluster at rest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis as redis_module

from afx.app import context_for
from afx.cluster import keys
from afx.cluster.registry import Registry
from afx.cluster.worker_records import Identity, Metrics
from afx.config import load
from afx.errors import UsageError
from afx.operations import backups
from afx.operations.context import Context


@pytest.fixture
def context(home: Path, redis_url: str, database: Any) -> Iterator[Context]:
    found = context_for(load(home=home, redis_url=redis_url), "test")
    yield found
    found.servers.redis().close()


@pytest.fixture
def backup(context: Context, home: Path) -> Path:
    path = home / "b.gz"
    backups.make(context, path, lambda *_: None, overwrite=False)
    return path


def test_a_backup_is_made_while_the_cluster_runs(context: Context, backup: Path) -> None:
    assert backups.check(context, backup).tables["sessions"] == 0


def test_a_restore_is_made_when_no_node_and_no_coordinator_is_live(
    context: Context, backup: Path, redis: redis_module.Redis
) -> None:
    backups.restore(context, backup, lambda *_: None)
    assert redis.get(keys.AUDIT_HEAD)


@pytest.mark.parametrize("live", ["a node", "a coordinator"])
def test_a_restore_is_refused_while_a_node_or_a_coordinator_is_live(
    context: Context, backup: Path, redis: redis_module.Redis, live: str
) -> None:
    if live == "a node":
        metrics = Metrics(0, 0, 0, 0.0, 0, 0, 0)
        Registry(redis).register(Identity("w1", "one", "h", "boot", "", "1:1", 5), metrics)
    else:
        redis.set(keys.LEADER, "host:1:x")
    with pytest.raises(UsageError, match="The cluster runs"):
        backups.restore(context, backup, lambda *_: None, force=True)
