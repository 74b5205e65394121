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


class DeathWatcher:
    """The witness of one node; ``watch`` is called after each of its heartbeats."""

    def __init__(self, client: redis.Redis, name: str) -> None:
        """``name`` is the node's own: a node is no witness of itself."""
        self._redis = client
        self._registry = Registry(client)
        self._name = name
        self._witness = Witness()
        self._witnessed: set[str] = set()
        self._watching = threading.Lock()

    def watch(self) -> None:
        """Look for nodes that have died, and report them; may be called from any thread.

        A call while another one is under way does nothing.
        """
        if not self._watching.acquire(blocking=False):
            return
        try:
            self._check()
        except redis.RedisError:
            return  # the next heartbeat reports it
        except Exception as error:
            # A malformed record of another node must not end the watch over the rest.
            log.error("death_watch_failed", error=repr(error))
        finally:
            self._watching.release()

    def close(self) -> None:
        """Close the witness's descriptors; the heartbeats must have ended."""
        self._witness.close()

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
            report_stream.publish(self._redis, found)
            self._witnessed |= fresh
        self._witnessed &= {it.incarnation for it in nodes.values()}
