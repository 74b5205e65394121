"""For tests of a host in the test's own loop."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import redis as redis_module
from support.sandbox import SandboxHarness

from afx import lease
from afx.cluster import keys
from afx.config import load
from afx.node.host import Host
from afx.node.lease_memory import LeaseMemory
from afx.sandbox.telegram.peers import Account, Channel
from afx.security.vault import Vault

KEY = "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s="
NODE, INCARNATION = "w1", "one"
SESSION = 7


@contextlib.asynccontextmanager
async def host_on(redis_url: str, home: Path) -> AsyncIterator[Host]:
    """A host with a lease of a minute; its loops do not run."""
    reader, writer = os.pipe()
    memory = LeaseMemory()
    memory.renew(lease.now() + 60, lease.now() + 60)
    host = Host(
        load(home=home),
        redis_url=redis_url,
        node=NODE,
        incarnation=INCARNATION,
        memory=memory,
        vault=Vault([KEY]),
        settled_pipe=writer,
    )
    try:
        yield host
    finally:
        host.close()
        await settle(host)
        await host._redis.aclose()
        for descriptor in (reader, writer, memory.descriptor):
            os.close(descriptor)


async def settle(host: Host) -> None:
    """Wait until the host has nothing under way."""
    while host._runner.tasks:
        await asyncio.wait(set(host._runner.tasks))
        await asyncio.sleep(0)


class HostBench:
    """One host, one account, and what the host has reported."""

    def __init__(self, sandbox: SandboxHarness, host: Host, redis: redis_module.Redis) -> None:
        self.sandbox = sandbox
        self.host = host
        self.account: Account = sandbox.server.world.add_account()
        self.redis = redis
        spec = {
            "session": SESSION,
            "name": "s",
            "tier": "free",
            "login": Vault([KEY]).seal(sandbox.login(self.account)),
            "rules": [],
        }
        self._spec = spec
        redis.set(keys.spec(SESSION), json.dumps(spec))

    async def start(self, epoch: int) -> None:
        self.assign(epoch)
        await self.host.order_start(1, [(SESSION, epoch)])

    def assign(self, epoch: int, incarnation: str = INCARNATION) -> None:
        assignment = {"node": NODE, "incarnation": incarnation, "epoch": epoch}
        self.redis.hset(keys.assignment(SESSION), mapping=assignment)

    async def stop(self, epoch: int) -> None:
        await self.host.order_stop(1, [(SESSION, epoch)])

    def reported(self) -> list[tuple[str, int]]:
        return [
            (it.kind, it.epoch)  # type: ignore[union-attr]
            for it in self.host.reports.waiting
            if it.kind != "trouble"
        ]

    def connections(self) -> int:
        return sum(
            it.key is not None and it.key.account_id == self.account.id
            for it in self.sandbox.server.connections
        )

    def add_rule(self) -> tuple[Channel, Channel]:
        """Add a rule to the session's spec; returns its source and its destination."""
        source = self.sandbox.channel(self.account)
        to = self.sandbox.channel(posters=(self.account,))
        rules = self._spec["rules"]
        assert isinstance(rules, list)
        chats = {"sources": [str(source.marked)], "destinations": [str(to.marked)]}
        rules.append({"id": len(rules) + 1, "mode": "copy", **chats})
        self.redis.set(keys.spec(SESSION), json.dumps(self._spec))
        return source, to
