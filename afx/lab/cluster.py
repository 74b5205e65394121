"""A whole cluster with its own local Telegram, in one home on this machine.

For ``afx demo``, benchmarks and tests: all parts are real processes, and the
sandbox's ledger is the judge.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from afx.cluster import events, keys
from afx.cluster.connection import connect, reachable, shown
from afx.cluster.registry import LIVE_STATES, Registry, WorkerView
from afx.config import Settings
from afx.errors import AfxError, UsageError
from afx.lab.links import BadLink
from afx.local import private_redis
from afx.local.processes import Fleet, die_with_parent
from afx.sandbox.client import SandboxClient
from afx.security.vault import load_vault
from models import base, schema
from models.storage import assignments, rules, sessions, users
from models.storage.rules import NewRule
from models.storage.sessions import NewSession

_POLL_SECONDS = 0.02


@dataclass(slots=True, frozen=True)
class LabSession:
    """One session of the lab, its account and its chats."""

    id: int
    name: str
    account: int
    source: int
    destination: int


@dataclass(slots=True, frozen=True)
class Failover:
    """How the loss of a node went, in seconds since its death."""

    node: str
    sessions: int
    detected_s: float
    recovered_s: float


class Lab:
    """The parts, started in order and ended in reverse by ``close``."""

    def __init__(self, settings: Settings, *, variables: Mapping[str, str] | None = None) -> None:
        """``variables`` are further ``AFX_…`` settings of the cluster's processes."""
        self.settings = settings
        self.sessions: list[LabSession] = []
        self._variables = variables
        self._owners: list[str] = []
        self._closing = contextlib.ExitStack()
        self.log = settings.home / "cluster.log"
        self._event = "0"
        self.sandbox: SandboxClient
        self.fleet: Fleet

    def __enter__(self) -> Lab:
        try:
            self._open()
        except BaseException:
            self._closing.close()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """End all parts."""
        self._closing.close()

    def _open(self) -> None:
        held = self.settings
        process = subprocess.Popen(
            [sys.executable, "-m", "afx.sandbox.process", str(held.home)],
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=die_with_parent,  # noqa: PLW1509
        )
        self._closing.callback(_end, process)
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise AfxError("The sandbox did not start; its log is above.")
        address = json.loads(line)
        self._telegram: tuple[str, int] = (address["host"], address["port"])
        self.sandbox = SandboxClient(address["host"], address["control_port"])
        self._closing.callback(self.sandbox.close)
        if held.redis_url:
            self._claim_redis(held.redis_url)
            self.redis_url = held.redis_url
        else:
            if private_redis.ensure(held.home):
                self._closing.callback(private_redis.stop, held.home)
            self.redis_url = private_redis.url_for(held.home)
        self.redis = connect(self.redis_url)
        self._closing.callback(self.redis.close)
        self.registry = Registry(self.redis)
        base.open_database(held.database)
        self._closing.callback(base.close_database)
        schema.upgrade()
        if sessions.count():
            raise UsageError("The database holds sessions already; give an empty one.")
        self._closing.callback(self._remove_rows)
        self.vault = load_vault(held.home, held.secret_key.get_secret_value())
        self.fleet = Fleet(held, self.redis_url, log=self.log, extra=self._variables)
        self._closing.callback(self.fleet.stop)

    def _claim_redis(self, url: str) -> None:
        """Make sure that no cluster lives in a Redis that was given to us."""
        with reachable(url):
            client = connect(url)
            taken = client.exists(keys.TERM, keys.WORKERS)
            client.close()
        if taken:
            raise UsageError(
                f"The Redis at {shown(url)} holds a cluster already; give an empty database, "
                "such as redis://127.0.0.1:6379/5."
            )
        self._closing.callback(_clean, url)

    def _remove_rows(self) -> None:
        """Leave a database that was lent to us as it was."""
        sessions.remove_many([it.id for it in self.sessions])
        for name in self._owners:
            users.remove(users.find(name))

    # --- bad links --------------------------------------------------------------------

    def redis_link(self, *, seed: int = 0, host: str = "127.0.0.1") -> tuple[BadLink, str]:
        """Return a link to Redis that can be cut, and the URL that leads over it.

        ``host`` is the address of this machine at which it is reached.
        """
        parts = urlsplit(self.redis_url)
        target = (
            parts.path if parts.scheme == "unix" else (parts.hostname or "", parts.port or 6379)
        )
        link = BadLink(target, seed=seed, host=host)
        self._closing.callback(link.close)
        host, port = link.address
        if parts.scheme == "unix":
            return link, f"redis://{host}:{port}"
        login = parts.netloc.rpartition("@")[0]
        return link, parts._replace(netloc=f"{login}{'@' * bool(login)}{host}:{port}").geturl()

    def telegram_link(self, *, seed: int = 0, host: str = "127.0.0.1") -> BadLink:
        """Return a link to the local Telegram; see ``add_sessions``."""
        link = BadLink(self._telegram, seed=seed, host=host)
        self._closing.callback(link.close)
        return link

    # --- accounts, chats, rules -----------------------------------------------------

    def add_sessions(
        self,
        count: int,
        *,
        mode: Callable[[int], str] = lambda _: "copy",
        tier: str = "free",
        over: BadLink | None = None,
    ) -> list[LabSession]:
        """Add sessions, each with an account, a source and a destination channel.

        With ``over`` they reach Telegram by that link.
        """
        accounts = self.sandbox.call("provision", count=count)
        channels = self.sandbox.call(
            "channels",
            channels=[
                it
                for held in accounts
                for it in (
                    {"title": f"source of {held['account']}", "members": [held["account"]]},
                    {"title": f"copies of {held['account']}", "posters": [held["account"]]},
                )
            ],
        )
        owner = users.create(f"lab {tier} {time.time_ns()}", tier)
        self._owners.append(owner.name)
        begin = len(self.sessions)
        stamp = time.time_ns() % 10**9
        names = [f"s{begin + number:05d}-{stamp}" for number in range(count)]
        ids = sessions.create_many(
            owner,
            [
                NewSession(name, self.vault.seal(_through(over, it["login"])))
                for name, it in zip(names, accounts, strict=True)
            ],
        )
        added = [
            LabSession(
                ids[i],
                names[i],
                accounts[i]["account"],
                channels[2 * i]["id"],
                channels[2 * i + 1]["id"],
            )
            for i in range(count)
        ]
        # A rule of an import knows the chat's access hash from nowhere: the node
        # learns it from the account's dialogs, as with a real account.
        rules.create_many(
            [
                NewRule(it.id, "copy", [str(it.source)], [str(it.destination)], mode(begin + i))
                for i, it in enumerate(added)
            ]
        )
        self.sessions += added
        return added

    def expect_copies(self, chosen: Sequence[LabSession] | None = None) -> None:
        """Promise that what is posted from now on is copied once, in order."""
        routes = [[it.source, it.destination, it.account] for it in chosen or self.sessions]
        self.sandbox.call("expect", routes=routes)

    def post(self, count: int, rate: float, chosen: Sequence[LabSession] | None = None) -> None:
        """Post messages to the sessions' sources in turn, in the background."""
        chats = [[it.source, 0] for it in chosen or self.sessions]
        self.sandbox.call("flow", chats=chats, count=count, rate=rate)

    # --- waiting and seeing -----------------------------------------------------------

    def wait(self, what: str, done: Callable[[], bool], seconds: float) -> None:
        """Wait for a condition; raises AfxError naming it when it does not come."""
        until = time.monotonic() + seconds
        while not done():
            if time.monotonic() > until:
                raise AfxError(f"After {seconds:.0f} s still not: {what}; the log is {self.log}.")
            time.sleep(_POLL_SECONDS)

    def nodes(self) -> list[WorkerView]:
        """Return the live nodes."""
        return [it for it in self.registry.all() if it.state in LIVE_STATES]

    def leader(self) -> str:
        """Return which of our coordinators leads; empty when none does."""
        holder = str(self.redis.get(keys.LEADER) or "::").split(":")[-2]
        for name, child in self.fleet.children.items():
            if str(child.pid) == holder:
                return name
        return ""

    def running(self) -> int:
        """Return how many sessions SQL says run."""
        return sum(it.state == "running" for it in assignments.active())

    def wait_nodes(self, count: int, seconds: float = 30.0) -> None:
        """Wait until so many nodes live."""
        self.wait(f"{count} nodes live", lambda: len(self.nodes()) >= count, seconds)

    def wait_running(self, count: int | None = None, seconds: float = 60.0) -> None:
        """Wait until the sessions run."""
        wanted = len(self.sessions) if count is None else count
        self.wait(f"{wanted} sessions run", lambda: self.running() >= wanted, seconds)

    def wait_delivered(self, seconds: float = 60.0) -> dict[str, Any]:
        """Wait until nothing promised is missing; returns the last verdict."""
        until = time.monotonic() + seconds
        while True:
            if self.sandbox.call("progress")["done"]:
                verdict: dict[str, Any] = self.sandbox.call("judge")
                if not verdict["lost"] or time.monotonic() > until:
                    return verdict
            elif time.monotonic() > until:
                return dict(self.sandbox.call("judge"))
            time.sleep(0.1)

    def events(self) -> list[dict[str, Any]]:
        """Return what the coordinator announced since the last call."""
        self._event, found = events.watch(self.redis, self._event)
        return found

    # --- killing ------------------------------------------------------------------------

    def busiest_node(self) -> str:
        """Return the node with the most sessions that we may kill."""
        chosen = [it for it in self.nodes() if it.name in self.fleet.children]
        return max(chosen, key=lambda it: (it.metrics.sessions, it.name)).name

    def kill_node(self, node: str) -> tuple[float, list[LabSession]]:
        """SIGKILL a node's whole tree; returns when, and its sessions."""
        self.events()
        victims = self.owned_by(node)
        return self.fleet.kill_tree(node), victims

    def owned_by(self, node: str) -> list[LabSession]:
        """Return the sessions that SQL says a node has, running or not."""
        held = {it.session for it in assignments.active() if it.worker == node}
        return [it for it in self.sessions if it.id in held]

    def wait_detected(self, node: str, seconds: float = 30.0) -> float:
        """Wait until the coordinator says that a node is down; returns when."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for event in self.events():
                if event["kind"] == "node_down" and event["node"] == node:
                    return time.monotonic()
            time.sleep(0.005)
        raise AfxError(f"After {seconds:.0f} s the loss of {node} was not detected.")

    def recovered(self, killed_at: float, victims: Sequence[LabSession]) -> float | None:
        """Return when the last of a dead node's sessions forwarded again.

        Monotonic seconds, by the sandbox's ledger: a session's first copy over a
        connection that it opened after the kill. None while one has made none.
        """
        accounts = [it.account for it in victims]
        status = self.sandbox.call("status", accounts=accounts)
        opened = {name: it["opened_at"] for name, it in status.items()}
        if any(at is None or at < killed_at for at in opened.values()):
            return None
        first = self.sandbox.call("first_copies", since=opened)
        if len(first) < len(accounts):
            return None
        return float(max(first.values(), default=killed_at))


def _through(link: BadLink | None, login: str) -> str:
    """Return a login whose data centre is reached over a link."""
    if link is None:
        return login
    from telethon.sessions import StringSession

    held = StringSession(login)
    held.set_dc(held.dc_id, *link.address)
    return str(held.save())


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    process.wait()
    if process.stdout:
        process.stdout.close()


def _clean(url: str) -> None:
    """Remove what the lab wrote into a Redis that was lent to it."""
    client = connect(url)
    for pattern in ("afx:*", "rq:*"):
        for key in client.scan_iter(pattern, count=1000):
            client.delete(key)
    client.close()


def temporary_settings(home: Path, **flags: Any) -> Settings:
    """Return settings of a lab in its own home, whatever is set outside."""
    from afx.config import load

    return load(home=home, **{"redis_url": "", "database_url": "", **flags})
