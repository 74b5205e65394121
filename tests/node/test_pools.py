"""Sender pools: one session reads and owns the lane, others of its user post."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import redis as redis_module
from support.links import stored_links
from support.sandbox import SandboxHarness, run_scenario, until
from support.sessions import say, texts
from support.specs import KEY, stored_spec

from afx import lease
from afx.cluster import keys
from afx.cluster.links import CopyRoute
from afx.cluster.specs import RuleSpec
from afx.config import load
from afx.node.host import Host
from afx.node.lease_memory import LeaseMemory
from afx.sandbox.judge import flow
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
        self._stack = contextlib.AsyncExitStack()
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
        )
        self.hosts[name] = host
        self.running[name] = asyncio.create_task(host.run())
        self._stack.callback(lambda: [os.close(it) for it in (reader, writer, memory.descriptor)])
        return host

    def account(self, session: int) -> Account:
        if session not in self.accounts:
            self.accounts[session] = self.sandbox.server.world.add_account()
        return self.accounts[session]

    async def start(self, session: int, node: str) -> None:
        epoch = self.epochs[session] = self.epochs.get(session, 0) + 1
        self.at[session] = node
        fields = {"node": node, "incarnation": f"of-{node}", "epoch": epoch}
        self.redis.hset(keys.assignment(session), mapping=fields)
        login = Vault([KEY]).seal(self.sandbox.login(self.account(session)), session_id=session)
        spec = stored_spec(session, epoch, login=login, rules=self.rules.get(session, ()))
        self.redis.set(keys.spec(session), spec)
        await self.hosts[node].order_start(1, [(session, epoch)])
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


Scenario = Callable[[Fleet], Coroutine[Any, Any, None]]


def run(redis: redis_module.Redis, url: str, home: Path, scenario: Scenario, *nodes: str) -> None:
    async def main(sandbox: SandboxHarness) -> None:
        async with fleet_on(sandbox, redis, url, home, *(nodes or ("w1",))) as fleet:
            await scenario(fleet)

    run_scenario(main)


def pool(fleet: Fleet, mode: str = "copy", **more: Any) -> tuple[Channel, Channel]:
    """Give the owner a rule with three senders; returns its source and its destination."""
    accounts = [fleet.account(it) for it in (A, B, C)]
    source = fleet.sandbox.channel(fleet.account(OWNER), *more.pop("readers", ()))
    to = fleet.sandbox.channel(posters=tuple(accounts))
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


def test_a_sender_posts_what_the_source_session_reads(
    redis_url: str, redis: redis_module.Redis, home: Path
) -> None:
    async def scenario(fleet: Fleet) -> None:
        source, to = pool(fleet)
        await all_on(fleet, "w1")
        say(fleet.sandbox, source, "one", "two", "three")
        await until(lambda: texts(to) == ["one", "two", "three"])
        route = CopyRoute(1, source.marked, to.marked)
        await until(lambda: stored_links(redis, 1).get(route) == {1: 1, 2: 2, 3: 3})

    run(redis, redis_url, home, scenario)


def test_the_lane_flows_through_the_flood_wait_of_one_sender(
    redis_url: str, redis: redis_module.Redis, home: Path
) -> None:
    async def scenario(fleet: Fleet) -> None:
        source, to = pool(fleet)
        await all_on(fleet, "w1")
        say(fleet.sandbox, source, "0")
        await until(lambda: texts(to) == ["0"])
        fleet.sandbox.server.faults.add_flood(fleet.account(A).id, to.marked, 30)
        said = [str(it) for it in range(1, 21)]
        say(fleet.sandbox, source, *said)
        await until(lambda: texts(to) == ["0", *said])
        assert authors(fleet, to) == [A] + [B] * 20
        lane: Any = redis.hgetall(keys.pool(1, to.marked))
        assert (lane["sender"], lane["fence"]) == (str(B), "3")
        await until(lambda: not doubts(fleet, to))

    run(redis, redis_url, home, scenario)


def test_senders_on_other_nodes_post_and_a_moved_one_doubles_nothing(
    redis_url: str, redis: redis_module.Redis, home: Path
) -> None:
    async def scenario(fleet: Fleet) -> None:
        source, to = pool(fleet)
        for it, node in ((A, "w2"), (B, "w2"), (C, "w1"), (OWNER, "w1")):
            await fleet.start(it, node)
        say(fleet.sandbox, source, "one")
        await until(lambda: texts(to) == ["one"])
        await fleet.stop(A)
        say(fleet.sandbox, source, "two")
        await until(lambda: texts(to) == ["one", "two"])
        await fleet.start(A, "w1")
        await fleet.stop(B)
        say(fleet.sandbox, source, "three")
        await until(lambda: texts(to) == ["one", "two", "three"])
        assert authors(fleet, to) == [A, B, C]

    run(redis, redis_url, home, scenario, "w1", "w2")


def test_edits_deletes_and_answers_go_through_the_sender_that_posted(
    redis_url: str, redis: redis_module.Redis, home: Path
) -> None:
    async def scenario(fleet: Fleet) -> None:
        source, to = pool(fleet, sync=("edits", "deletes"))
        await all_on(fleet, "w1")
        say(fleet.sandbox, source, "one", "two")
        await until(lambda: texts(to) == ["one", "two"])
        server = fleet.sandbox.server
        server.faults.add_flood(fleet.account(A).id, to.marked, 2)
        flow.post(server, source.marked, 0, "three", reply_to=2)
        await until(lambda: texts(to)[2:] == ["three"])
        assert authors(fleet, to) == [A, A, B]
        assert [it.reply_to for it in to.box.messages.values()] == [None, None, 2]
        flow.edit(server, source.marked, 0, 1, "one, mended")
        flow.delete(server, source.marked, 0, [2])
        say(fleet.sandbox, source, "four")
        await until(lambda: texts(to) == ["one, mended", "three", "four"])

    run(redis, redis_url, home, scenario)
