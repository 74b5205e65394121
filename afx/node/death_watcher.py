"""Reports the deaths of other nodes on this machine, on a thread of its own."""

from __future__ import annotations

import threading

import redis
import structlog

from afx.cluster import reports
from afx.cluster.connection import connect
from afx.cluster.registry import LIVE_STATES, Registry
from afx.cluster.reports import Died
from afx.cluster.witness import Witness, boot_id
from afx.config import Settings

log = structlog.get_logger()


class DeathWatcher:
    """Watches from its construction until ``close``."""

    def __init__(self, redis_url: str, name: str, settings: Settings) -> None:
        """``name`` is the node's own: a node is no witness of itself."""
        self._redis = connect(redis_url, timeout_seconds=settings.lease.node)
        self._registry = Registry(self._redis)
        self._name = name
        self._every = settings.heartbeat_seconds
        self._witness = Witness()
        self._witnessed: set[str] = set()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="death watcher")
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._ended.set()
        self._thread.join()
        self._witness.close()
        self._redis.close()

    def _watch(self) -> None:
        while not self._ended.wait(self._every):
            try:
                self._check()
            except redis.RedisError:
                continue  # the heartbeat reports it
            except Exception as error:
                # A malformed record of another node must not end the watch over the rest.
                log.error("death_watch_failed", error=repr(error))

    def _check(self) -> None:
        nodes = {it.name: it for it in self._registry.on_machine(boot_id())}
        own = nodes.pop(self._name, None)
        if own is None:
            return  # the testimony of a node that is not registered does not count
        others = [it for it in nodes.values() if it.state in LIVE_STATES]
        fresh = self._witness.dead(others) - self._witnessed
        found = [
            Died(
                node=it.name,
                incarnation=it.incarnation,
                witness=self._name,
                witness_incarnation=own.incarnation,
            )
            for it in others
            if it.incarnation in fresh
        ]
        if found:
            reports.publish(self._redis, found)
            self._witnessed |= fresh
        self._witnessed &= {it.incarnation for it in nodes.values()}
