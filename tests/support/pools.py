"""Some nodes in the test's own loop, with a sender pool; they can be killed at any step."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import redis as redis_module
from support.sandbox import SandboxHarness, running_sandbox, until
from support.specs import KEY, stored_spec

from afx import lease
from afx.cluster import keys
from afx.cluster.specs import RuleSpec
from afx.config import load
from afx.node.host import Host, _cancel
from afx.node.lease_memory import LeaseMemory
from afx.sandbox.telegram.peers import Account, Channel
from afx.security.vault import Vault

OWNER, A, B, C = 7, 11, 12, 13


class Fleet:
    """Some nodes in the test's own loop, and the sessions of one user on them."""

    def __init__(
        self, sandbox: SandboxHarness, redis: redis_module.Redis, redis_url: str, home: Path
    ) -> None:
        self.sandbox = sandbox
        self.redis = redis
        self.url = redis_url
        self.home = home
        self.hosts: dict[str, Host] = {}
        self.accounts: dict[int, Account] = {}
        self.epochs: dict[int, int] = {}
        self.rules: dict[int, tuple[RuleSpec, ...]] = {}
        self.memories: dict[str, LeaseMemory] = {}
        self._stack = contextlib.AsyncExitStack()
        redis.set(keys.LINKS_COMPLETE, "1")  # as the leader does, which there is none of
        self.running: dict[str, asyncio.Task[None]] = {}
        self.at: dict[int, str] = {}

    async def node(self, name: str) -> Host:
        reader, writer = os.pipe()
        memory = LeaseMemory()
        memory.renew(lease.now() + 60, lease.now() + 60)
        host = Host(
            load(home=self.home, test_networks="127.0.0.0/8").for_node(),
            redis_url=self.url,
            node=name,
            incarnation=f"of-{name}",
            memory=memory,
            vault=Vault([KEY]),
            settled_pipe=writer,
            exit_process=lambda _: None,
        )
        self.hosts[name], self.memories[name] = host, memory
        self.running[name] = asyncio.create_task(host.run())
        self._stack.callback(lambda: [os.close(it) for it in (reader, writer, memory.descriptor)])
        return host

    def account(self, session: int) -> Account:
        if session not in self.accounts:
            self.accounts[session] = self.sandbox.server.world.add_account()
        return self.accounts[session]

    async def start(self, session: int, node: str, *, wait: bool = True) -> None:
        epoch = self.epochs[session] = self.epochs.get(session, 0) + 1
        self.at[session] = node
        fields = {"node": node, "incarnation": f"of-{node}", "epoch": epoch}
        self.redis.hset(keys.assignment(session), mapping=fields)
        login = Vault([KEY]).seal(self.sandbox.login(self.account(session)), session_id=session)
        spec = stored_spec(session, epoch, login=login, rules=self.rules.get(session, ()))
        self.redis.set(keys.spec(session), spec)
        await self.hosts[node].order_start(1, [(session, epoch)])
        if wait:
            await until(lambda: self._is_ready(session))

    def _is_ready(self, session: int) -> bool:
        found = self.hosts[self.at[session]]._residents.session(session)
        return found is not None and found.has_caught_up

    async def stop(self, session: int) -> None:
        """Stop a session, and take it off its node."""
        node = self.at[session]
        await self.hosts[node].order_stop(1, [(session, self.epochs[session])])
        await until(
            lambda: session not in [it for it, *_ in self.hosts[node]._residents.inventory()]
        )
        self.redis.hset(keys.assignment(session), mapping={"node": "", "incarnation": ""})

    async def kill(self, name: str) -> list[int]:
        """End a node as SIGKILL does; returns the sessions that it had.

        Nothing more leaves it: to Telegram its lease has run out, and it has lost Redis.
        """
        host = self.hosts.pop(name)
        self.memories[name].renew(0.0, 1.0)
        host._redis.execute_command = _lost
        host._redis.pipeline = _no_pipeline
        sessions = list(host._residents.sessions())
        tasks = [self.running.pop(name), *host._runner.tasks]
        tasks += [it.task for it in host.senders._under_way.values() if it.task]
        for task in tasks:
            task.cancel()
        for session in sessions:
            await session.forwarder.lanes.cancel()
            await session.client.disconnect()
        # Once is not enough: a call that is cancelled may raise its own error instead.
        await _cancel(set(tasks))
        await host._redis.connection_pool.disconnect(inuse_connections=True)
        return [it.session_id for it in sessions]

    async def wake(self) -> None:
        """Do what each node's worker of orders does when it finds that it is to wake."""
        while True:
            for host in list(self.hosts.values()):
                host.wake()
            await asyncio.sleep(0.01)

    async def close(self) -> None:
        for name, host in self.hosts.items():
            host.close()
            with contextlib.suppress(asyncio.CancelledError):
                await self.running[name]
        await self._stack.aclose()


@contextlib.asynccontextmanager
async def fleet_on(
    sandbox: SandboxHarness, redis: redis_module.Redis, url: str, home: Path, *nodes: str
) -> AsyncIterator[Fleet]:
    fleet = Fleet(sandbox, redis, url, home)
    waking = asyncio.create_task(fleet.wake())
    try:
        for it in nodes:
            await fleet.node(it)
        yield fleet
    finally:
        await fleet.close()
        waking.cancel()


async def _lost(*_: Any, **__: Any) -> Any:
    raise redis_module.ConnectionError("this node is dead")


def _no_pipeline(*_: Any, **__: Any) -> Any:
    raise redis_module.ConnectionError("this node is dead")


Scenario = Callable[[Fleet], Coroutine[Any, Any, None]]


def run(redis: redis_module.Redis, url: str, home: Path, scenario: Scenario, *nodes: str) -> None:
    async def main() -> None:
        # A loaded machine has its time, too.
        async with asyncio.timeout(60), running_sandbox() as sandbox:
            async with fleet_on(sandbox, redis, url, home, *(nodes or ("w1",))) as fleet:
                await scenario(fleet)

    asyncio.run(main())


def pool(fleet: Fleet, mode: str = "copy", **more: Any) -> tuple[Channel, Channel]:
    """Give the owner a rule with three senders; returns its source and its destination."""
    accounts = [fleet.account(it) for it in (A, B, C, *more.pop("posting", ()))]
    source = fleet.sandbox.channel(fleet.account(OWNER), *more.pop("readers", ()))
    ids = [it.id for it in accounts]
    to = fleet.sandbox.server.world.add_channel(
        "to", posters=ids, megagroup=more.pop("group", False)
    )
    options = {"senders": {"a": A, "b": B, "c": C}, **more.pop("options", {})}
    rule = RuleSpec(1, (str(source.marked),), (str(to.marked),), mode, options=options, **more)
    fleet.rules[OWNER] = (rule,)
    return source, to


async def all_on(fleet: Fleet, node: str) -> None:
    for it in (A, B, C, OWNER):
        await fleet.start(it, node)


def doubts(fleet: Fleet, to: Channel) -> list[str]:
    """Return the sends of the lane that may have been made, and were not answered yet."""
    lane: Any = fleet.redis.hgetall(keys.pool(1, to.marked))
    return [it for it in lane if it.startswith("doubt:")]


def authors(fleet: Fleet, to: Channel) -> list[int]:
    sessions = {account.id: it for it, account in fleet.accounts.items()}
    return [sessions[it.sender] for it in to.box.messages.values()]
