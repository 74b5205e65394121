"""A whole cluster with its own local Telegram, in one home on this machine.

For ``afx demo``, soaks, benchmarks and tests: all parts are real processes; a ledger judges.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil

from afx.cluster import events
from afx.cluster.connection import connect
from afx.cluster.leadership import read_leader
from afx.cluster.registry import Registry
from afx.cluster.worker_records import LIVE_STATES, WorkerView
from afx.config import Settings, load
from afx.errors import AfxError
from afx.lab import services
from afx.lab.accounts import LabAccounts, LabSession, always_copy
from afx.lab.links import BadLink
from afx.lab.waiting import wait_until
from afx.local.process_tree import process_tree
from afx.local.processes import LocalProcesses, node_names
from afx.sandbox.judge.verdict import Verdict
from afx.security.vault import load_vault
from models.storage import assignments

_NETWORKS = "127.0.0.0/8,10.64.0.0/10"
"""Where sessions reach the local Telegram: also over links, and from machines of tests."""


def temporary_settings(home: Path, **flags: Any) -> Settings:
    """Return settings of a lab in its own home, whatever is set outside."""
    return load(home=home, **{"redis_url": "", "database_url": "", **flags})


class LabCluster:
    """A sandbox, a Redis, a database, coordinators and nodes; ``close`` ends them.

    It opens in its constructor, except for coordinators and nodes: start them with
    ``processes``.
    """

    def __init__(self, settings: Settings, *, variables: Mapping[str, str] | None = None) -> None:
        """``variables`` are further ``AFX_…`` settings of the cluster's processes."""
        self.settings = settings
        self.log = settings.home / "cluster.log"
        self.links: dict[str, BadLink] = {}
        """Of the nodes that ``start_linked_nodes`` started, each one's link to Redis."""
        self._last_event = "0"
        with contextlib.ExitStack() as opening:
            parts = opening.enter_context(services.sandbox(settings.home))
            self.sandbox = parts.client
            self._telegram = parts.telegram
            self.redis_url = opening.enter_context(
                services.cluster_redis(settings.home, settings.redis_url)
            )
            self.redis = opening.enter_context(contextlib.closing(connect(self.redis_url)))
            self.registry = Registry(self.redis)
            opening.enter_context(services.empty_database(settings.database))
            self.vault = load_vault(settings.home, settings.secret_key.get_secret_value())
            self.accounts = LabAccounts(self.sandbox, self.vault)
            opening.callback(self.accounts.remove_rows)
            self.processes = LocalProcesses(
                settings,
                self.redis_url,
                log=self.log,
                variables={"AFX_TEST_NETWORKS": _NETWORKS, **(variables or {})},
            )
            opening.callback(self.processes.stop)
            self._closing = opening.pop_all()

    def __enter__(self) -> LabCluster:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """End all parts."""
        self._closing.close()

    # --- bad links --------------------------------------------------------------------

    def redis_link(self, *, seed: int = 0, host: str = "127.0.0.1") -> tuple[BadLink, str]:
        """Return a link to Redis that can be cut, and the URL that leads over it.

        ``host`` is the address of this machine at which it is reached.
        """
        parts = urlsplit(self.redis_url)
        target = (
            parts.path if parts.scheme == "unix" else (parts.hostname or "", parts.port or 6379)
        )
        link = self._link(target, seed, host)
        address = "{}:{}".format(*link.address)
        if parts.scheme == "unix":
            return link, f"redis://{address}"
        login = parts.netloc.rpartition("@")[0]
        return link, parts._replace(netloc=f"{login}{'@' * bool(login)}{address}").geturl()

    def telegram_link(self, *, seed: int = 0, host: str = "127.0.0.1") -> BadLink:
        """Return a link to the local Telegram; see ``add_sessions``."""
        return self._link(self._telegram, seed, host)

    def start_linked_nodes(self, count: int) -> None:
        """Start nodes, each with its own link to Redis; see ``links``."""
        for name in node_names(count):
            self.links[name], url = self.redis_link(seed=len(self.links))
            self.processes.start_node(name, redis_url=url)

    def _link(self, target: str | tuple[str, int], seed: int, host: str) -> BadLink:
        link = BadLink(target, seed=seed, host=host)
        self._closing.callback(link.close)
        return link

    # --- sessions and messages --------------------------------------------------------

    @property
    def sessions(self) -> list[LabSession]:
        """All sessions that were added."""
        return self.accounts.sessions

    def add_sessions(
        self,
        count: int,
        *,
        mode: Callable[[int], str] = always_copy,
        tier: str = "free",
        over: BadLink | None = None,
    ) -> list[LabSession]:
        """Add sessions of one new owner; see ``LabAccounts.add``."""
        return self.accounts.add(count, mode=mode, tier=tier, over=over)

    def expect_copies(self, chosen: Sequence[LabSession] | None = None) -> None:
        """Promise that what is posted from now on is copied once, in order."""
        routes = [[it.source, it.destination, it.account] for it in chosen or self.sessions]
        self.sandbox.call("expect", routes=routes)

    def post(self, count: int, rate: float, chosen: Sequence[LabSession] | None = None) -> None:
        """Post messages to the sessions' sources in turn, in the background."""
        chats = [[it.source, 0] for it in chosen or self.sessions]
        self.sandbox.call("flow", chats=chats, count=count, rate=rate)

    def posted(self) -> int:
        """Return how many messages were posted."""
        return int(self.sandbox.call("progress")["posted"])

    def all_posted(self) -> bool:
        """Return whether no message is left to post."""
        return bool(self.sandbox.call("progress")["done"])

    def judge(self) -> Verdict:
        """Return the sandbox's verdict over all promises."""
        return Verdict.from_json(self.sandbox.call("judge"))

    # --- state ------------------------------------------------------------------------

    def nodes(self) -> list[WorkerView]:
        """Return the live nodes."""
        return [it for it in self.registry.all() if it.state in LIVE_STATES]

    def leader(self) -> str:
        """Return which of our coordinators leads; empty when none does."""
        leader = read_leader(self.redis)
        children = self.processes.children.values()
        return next((it.name for it in children if leader and it.pid == leader.pid), "")

    def running(self) -> int:
        """Return how many sessions SQL says run."""
        return sum(it.state == "running" for it in assignments.active())

    def owned_by(self, node: str) -> list[LabSession]:
        """Return the sessions that SQL says a node has, running or not."""
        ids = {it.session for it in assignments.active() if it.worker == node}
        return [it for it in self.sessions if it.id in ids]

    def events(self) -> list[dict[str, Any]]:
        """Return what the coordinator announced since the last call."""
        self._last_event, found = events.watch(self.redis, self._last_event)
        return found

    def process_tree(self, name: str) -> list[psutil.Process]:
        """Return the processes of a node or coordinator, its first process first."""
        return process_tree(self.processes.children[name].pid)

    def all_processes(self) -> list[psutil.Process]:
        """Return the processes of all nodes and coordinators."""
        return [it for name in self.processes.children for it in self.process_tree(name)]

    # --- waiting ----------------------------------------------------------------------

    def wait(self, what: str, done: Callable[[], bool], seconds: float) -> None:
        """Wait for a condition; raises AfxError naming it when it does not come."""
        wait_until(done, what=what, seconds=seconds, hint=f"The cluster's log is {self.log}.")

    def wait_nodes(self, count: int, seconds: float = 90.0) -> None:
        """Wait until so many nodes are live."""
        self.wait(f"{count} nodes are live", lambda: len(self.nodes()) >= count, seconds)

    def wait_running(self, count: int | None = None, seconds: float = 90.0) -> None:
        """Wait until so many sessions run; all of them by default."""
        needed = len(self.sessions) if count is None else count
        self.wait(f"{needed} sessions run", lambda: self.running() >= needed, seconds)

    def wait_delivered(self, seconds: float = 90.0) -> Verdict:
        """Wait until all is posted and no copy is missing; returns the last verdict."""
        with contextlib.suppress(AfxError):  # the verdict says what is missing
            wait_until(
                lambda: self.all_posted() and not self.judge().lost,
                what="no copy is missing",
                seconds=seconds,
                poll_seconds=0.1,
            )
        return self.judge()

    # --- losing a node ----------------------------------------------------------------

    def busiest_node(self) -> str:
        """Return the live node, of our own processes, with the most sessions in SQL.

        What nodes report of themselves is as old as their last heartbeat.
        """
        names = [it.name for it in self.nodes() if it.name in self.processes.children]
        count = Counter(it.worker for it in assignments.active())
        return max(names, key=lambda it: (count[it], it))

    def kill_node(self, node: str) -> tuple[float, list[LabSession]]:
        """SIGKILL a node's whole tree; returns when, and its sessions."""
        self.events()
        victims = self.owned_by(node)
        return self.processes.kill_tree(node), victims

    def wait_detected(self, node: str, seconds: float = 60.0) -> float:
        """Wait until the coordinator announces that a node is down; returns when."""

        def detected() -> bool:
            return any(it["kind"] == "node_down" and it["node"] == node for it in self.events())

        wait_until(
            detected, what=f"the loss of {node} is detected", seconds=seconds, poll_seconds=0.005
        )
        return time.monotonic()
