"""Whether Redis can split: a primary that lost its replicas must refuse to write.

A node that is partitioned with the old primary renews its lease there, while the leader
on the new one gives its sessions away. With ``min-replicas-to-write`` the old primary
refuses all writes once no replica has acknowledged for ``min-replicas-max-lag`` seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import redis

from afx.cluster import fields
from afx.errors import ConfigError

LAG_LIMIT_SECONDS = 5
"""The longest lag that is accepted: takeovers after a failover wait as long."""
_ACKNOWLEDGED_EVERY_SECONDS = 1
"""A replica acknowledges once a second, and the primary compares whole seconds."""
_REMEDY = (
    f"set min-replicas-to-write to 1 and min-replicas-max-lag to 2 (at most {LAG_LIMIT_SECONDS}) "
    "on the primary and on all replicas"
)


@dataclass(slots=True, frozen=True)
class Replication:
    """How a Redis server is replicated."""

    is_replica: bool
    replicas: int
    to_write: int | None
    """``min-replicas-to-write``; None if the server does not say."""
    max_lag: int | None
    """``min-replicas-max-lag``; None if the server does not say."""
    limits_writes: bool
    """Writes are refused without replicas, as INFO shows it."""

    @property
    def fault(self) -> str:
        """What makes a split dangerous; empty when nothing does."""
        if not self.replicas or self.is_replica:
            return ""
        if not self.limits_writes:
            return f"it has {self.replicas} replicas and writes without any of them"
        if self.max_lag is not None and self.max_lag > LAG_LIMIT_SECONDS:
            return f"it writes for {self.max_lag} s without a replica's acknowledgement"
        return ""

    @property
    def remedy(self) -> str:
        """What to do about a fault."""
        return _REMEDY if self.fault else ""

    @property
    def split_seconds(self) -> float:
        """For how long an old primary may write after this one has taken its place."""
        if not self.limits_writes:
            return 0.0
        lag = LAG_LIMIT_SECONDS if self.max_lag is None else self.max_lag
        return float(min(lag, LAG_LIMIT_SECONDS) + _ACKNOWLEDGED_EVERY_SECONDS)


def read(client: redis.Redis) -> Replication:
    """Return how a server is replicated; a server may refuse to show its settings."""
    info: Any = client.info("replication")
    try:
        found: Any = client.config_get("min-replicas-*")
    except redis.ResponseError:
        found = {}
    to_write = fields.integer(str(found.get("min-replicas-to-write", "")))
    max_lag = fields.integer(str(found.get("min-replicas-max-lag", "")))
    limits = bool(to_write and max_lag)
    return Replication(
        is_replica=str(info.get("role")) != "master",
        replicas=int(info.get("connected_slaves", 0)),
        to_write=to_write,
        max_lag=max_lag,
        limits_writes=limits or (not found and "min_slaves_good_slaves" in info),
    )


def require_safe(client: redis.Redis) -> None:
    """Raise ConfigError when a split of this Redis would let an account be live twice."""
    found = read(client)
    if found.fault:
        raise ConfigError(
            f"Redis can split so that an account is live twice: {found.fault}; {found.remedy}."
        )
