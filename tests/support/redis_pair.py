"""A Redis and its replica, real servers both, which a test makes fail over or split."""

from __future__ import annotations

import contextlib
import socket
import tempfile
from pathlib import Path
from typing import Any

from afx.cluster.connection import connect
from afx.lab.links import BadLink
from afx.local import private_redis

MAX_LAG_SECONDS = 2


class RedisPair:
    """A primary and its replica behind one address, which a failover redirects."""

    def __init__(self, *, to_write: int = 1, max_lag: int = MAX_LAG_SECONDS) -> None:
        """``to_write`` and ``max_lag`` are the servers' ``min-replicas-…``."""
        self._closing = contextlib.ExitStack()
        self._homes = [
            Path(self._closing.enter_context(tempfile.TemporaryDirectory(prefix="afx-r-")))
            for _ in range(2)
        ]
        for it in self._homes:
            private_redis.ensure(it)
            self._closing.callback(private_redis.stop, it)
        self.primary, self.replica = (connect(private_redis.url_for(it)) for it in self._homes)
        self._closing.callback(self.primary.close)
        self._closing.callback(self.replica.close)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.primary.config_set("port", port)
        self.primary_url = f"redis://127.0.0.1:{port}"
        self.replica.replicaof("127.0.0.1", port)
        for server in (self.primary, self.replica):
            server.config_set("min-replicas-max-lag", max_lag)
        self.primary.config_set("min-replicas-to-write", to_write)
        self.link = BadLink(str(private_redis.socket_path(self._homes[0])))
        self._closing.callback(self.link.close)
        self.url = "redis://{}:{}".format(*self.link.address)

    def in_sync(self) -> bool:
        """Return whether the replica follows, and the primary takes writes."""
        state: Any = self.replica.info("replication")
        good: Any = self.primary.info("replication")
        follows = state["master_link_status"] == "up" and not state["master_sync_in_progress"]
        return bool(follows and good.get("min_slaves_good_slaves", 1))

    def fall_behind(self) -> None:
        """Cut the replica off from what is written from now on, for as long as a test needs.

        The primary would refuse writes after the greatest lag: it does not any more.
        """
        self.primary.config_set("min-replicas-to-write", 0)
        self.promote()

    def promote(self) -> None:
        """Let the replica follow no more: it takes writes itself, and acknowledges none.

        It has no replica of its own, so it must write without one.
        """
        self.replica.replicaof("NO", "ONE")

    def fail_over(self) -> None:
        """Lead all who use the pair's address to the replica."""
        self.link.redirect(str(private_redis.socket_path(self._homes[1])))

    def close(self) -> None:
        """End both servers."""
        self._closing.close()
