"""Reports the deaths of other nodes on this machine."""

from __future__ import annotations

import threading

import redis
import structlog

from afx.cluster import report_stream
from afx.cluster.registry import Registry
from afx.cluster.reports import Died
from afx.cluster.witness import Witness, boot_id
from afx.cluster.worker_records import LIVE_STATES

log = structlog.get_logger()


class SeenDeaths:
    """What the death watchers of one node have seen: its processes share one witness."""

    def __init__(self) -> None:
        self.witness = Witness()
        self.reported: set[str] = set()
        """The incarnations of which the death has been reported."""
        self.watching = threading.Lock()

    def close(self) -> None:
        """Close the witness's descriptors; the heartbeats must have ended."""
        self.witness.close()


class DeathWatcher:
    """The witness of one process; ``watch`` is called after each of its heartbeats."""

    def __init__(self, client: redis.Redis, name: str, seen: SeenDeaths | None = None) -> None:
        """``name`` is the process's own: no node is a witness of its own processes.

        ``seen`` is what it shares with other processes of its node, which their owner closes.
        """
        self._redis = client
        self._registry = Registry(client)
        self._name = name
        self._owns_seen = seen is None
        self._seen = seen or SeenDeaths()

    def watch(self) -> None:
        """Look for nodes that have died, and report them; may be called from any thread.

        A call while another one is under way does nothing.
        """
        if not self._seen.watching.acquire(blocking=False):
            return
        try:
            self._check()
        except redis.RedisError:
            return  # the next heartbeat reports it
        except Exception as error:
            # A malformed record of another node must not end the watch over the rest.
            log.error("death_watch_failed", error=repr(error))
        finally:
            self._seen.watching.release()

    def close(self) -> None:
        """Close the witness's descriptors, unless they are shared; the heartbeats have ended."""
        if self._owns_seen:
            self._seen.close()

    def _check(self) -> None:
        nodes = {it.name: it for it in self._registry.on_machine(boot_id())}
        own = nodes.get(self._name)
        if own is None:
            return  # the testimony of a node that is not registered does not count
        # Its own supervisor sees the end of each host, and ends with none of them alive.
        others = [it for it in nodes.values() if it.state in LIVE_STATES and it.node != own.node]
        fresh = self._seen.witness.dead(others) - self._seen.reported
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
            report_stream.publish(self._redis, found)
            self._seen.reported |= fresh
        self._seen.reported &= {it.incarnation for it in nodes.values()}
