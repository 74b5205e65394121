"""For tests of a host in the test's own loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import redis as redis_module
from support.sandbox import SandboxHarness
from support.specs import KEY, stored_spec

from afx import lease
from afx.cluster import keys
from afx.cluster.specs import RuleSpec
from afx.config import load
from afx.node.host import Host
from afx.node.lease_memory import LeaseMemory
from afx.proxies import Proxy
from afx.sandbox.telegram.peers import Account, Channel
from afx.security.vault import Vault

NODE, INCARNATION = "w1", "one"
SESSION = 7


@contextlib.asynccontextmanager
async def host_on(
    redis_url: str, home: Path, *, test_networks: str = "127.0.0.0/8"
) -> AsyncIterator[Host]:
    """A host with a lease of a minute; its loops do not run."""
    reader, writer = os.pipe()
    memory = LeaseMemory()
    memory.renew(lease.now() + 60, lease.now() + 60)
    host = Host(
        load(home=home, test_networks=test_networks).for_node(),
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
        self._login = Vault([KEY]).seal(sandbox.login(self.account), session_id=SESSION)
        self._rules: tuple[RuleSpec, ...] = ()
        self.sealed_proxy = ""
        self.sealed_device = ""
        self.proof = ""

    async def start(self, epoch: int) -> None:
        self.assign(epoch)
        self.publish(epoch)
        await self.host.order_start(1, [(SESSION, epoch)])

    def publish(self, epoch: int) -> None:
        """Write the session's spec, signed for an epoch."""
        spec = stored_spec(
            SESSION,
            epoch,
            login=self._login,
            rules=self._rules,
            sealed_proxy=self.sealed_proxy,
            sealed_device=self.sealed_device,
            proof=self.proof,
        )
        self.redis.set(keys.spec(SESSION), spec)

    def assign(self, epoch: int, incarnation: str = INCARNATION) -> None:
        assignment = {"node": NODE, "incarnation": incarnation, "epoch": epoch}
        self.redis.hset(keys.assignment(SESSION), mapping=assignment)

    async def stop(self, epoch: int) -> None:
        await self.host.order_stop(1, [(SESSION, epoch)])

    def reported(self) -> list[tuple[str, int]]:
        return [
            (it.kind, it.epoch)  # type: ignore[union-attr]
            for it in self.host.reports.waiting
            if it.kind not in ("trouble", "login_limit")
        ]

    def connections(self) -> int:
        return sum(
            it.key is not None and it.key.account_id == self.account.id
            for it in self.sandbox.server.connections
        )

    def set_proxy(self, proxy: Proxy) -> None:
        """Let the next spec name a proxy."""
        self.sealed_proxy = Vault([KEY]).seal_proxy(proxy.url, proxy_id=1)

    def add_rule(self) -> tuple[Channel, Channel]:
        """Add a rule for the next start; returns its source and its destination."""
        source = self.sandbox.channel(self.account)
        to = self.sandbox.channel(posters=(self.account,))
        rule_id = len(self._rules) + 1
        self._rules += (RuleSpec(rule_id, (str(source.marked),), (str(to.marked),), "copy"),)
        return source, to
