"""What Redis and SQL contained some seconds ago: what a replica or a standby has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from simulation.hub import Hub
from simulation.redis_server import Server
from simulation.sql import Sql


class Past:
    """Snapshots of the times from which a planned fault restores."""

    def __init__(self, hub: Hub, sql: Sql, server: Callable[[], Server]) -> None:
        self._hub = hub
        self._sql = sql
        self._server = server
        self._redis: dict[float, tuple[Server, Any]] = {}
        self._commits: dict[float, bytes] = {}

    def keep_redis(self, when: float) -> None:
        """Plan to need what Redis has at an instant."""
        self._hub.at(max(0.0, when), self._take_redis, when)

    def keep_sql(self, when: float) -> None:
        """Plan to need what SQL has at an instant."""
        self._hub.at(max(0.0, when), self._take_sql, when)

    def redis(self, server: Server, seconds: float) -> Any:
        """Return what a server had so many seconds ago; all, if another one was the primary."""
        taken = self._redis.get(round(self._hub.now - seconds, 6))
        return taken[1] if taken and taken[0] is server else server.data.snapshot()

    def sql(self, seconds: float) -> bytes:
        """Return what SQL had so many seconds ago."""
        return self._commits[round(self._hub.now - seconds, 6)]

    def _take_redis(self, when: float) -> None:
        server = self._server()
        self._redis[round(when, 6)] = (server, server.data.snapshot())

    def _take_sql(self, when: float) -> None:
        self._commits[round(when, 6)] = self._sql.snapshot()
