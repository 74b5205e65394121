"""Sessions that forward to each other's sources make one copy of each message."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import redis as redis_module
from support.forums import change, make, put, shown, titles, topics
from support.hosts import INCARNATION, NODE, host_on
from support.sandbox import SandboxHarness, run_scenario, until
from support.sessions import say, texts
from support.specs import KEY, stored_spec

from afx.cluster import keys
from afx.cluster.specs import RuleSpec
from afx.node import guarded_chats
from afx.node.host import Host
from afx.node.intents import Intents
from afx.node.made_links import MadeLinks
from afx.sandbox.telegram.peers import Account, Channel
from afx.security.vault import Vault

MakeCluster = Callable[[SandboxHarness], "Cluster"]


class Cluster:
    """Sessions of one rule each, on hosts of their own with one Redis."""

    def __init__(self, sandbox: SandboxHarness, redis_url: str, redis: Any, home: Path) -> None:
        self.sandbox = sandbox
        self.redis = redis
        self._url = redis_url
        self._home = home
        self.accounts: list[Account] = []
        self._rules: list[RuleSpec] = []

    def add(self, source: Channel, to: Channel, **rule: Any) -> int:
        """Add a session of a new account; returns its id. ``rule``: fields of its rule."""
        account = self.sandbox.server.world.add_account()
        source.members.add(account.id)
        to.members.add(account.id)
        to.posters.add(account.id)
        for it in (source, to):
            account.dialogs[it.marked] = None
        self.accounts.append(account)
        number = len(self.accounts)
        self._rules.append(
            RuleSpec(number, (str(source.marked),), (str(to.marked),), "copy", **rule)
        )
        return number

    @contextlib.asynccontextmanager
    async def running(self, session: int, epoch: int) -> AsyncIterator[Host]:
        """Run a session on a host of its own."""
        login = Vault([KEY]).seal(
            self.sandbox.login(self.accounts[session - 1]), session_id=session
        )
        spec = stored_spec(session, epoch, login=login, rules=(self._rules[session - 1],))
        self.redis.set(keys.spec(session), spec)
        owner = {"node": NODE, "incarnation": INCARNATION, "epoch": epoch}
        self.redis.hset(keys.assignment(session), mapping=owner)
        async with host_on(self._url, self._home) as host:
            running = asyncio.create_task(host.run())
            await host.order_start(1, [(session, epoch)])
            await until(lambda: _is_running(host, session))
            yield host
            host.close()
            await running

    def cursors(self) -> dict[str, Any]:
        return {
            keys.cursor(it): self.redis.hgetall(keys.cursor(it))
            for it in range(1, len(self.accounts) + 1)
        }

    def put_back(self, cursors: dict[str, Any]) -> None:
        for name, fields in cursors.items():
            self.redis.delete(name)
            self.redis.hset(name, mapping=fields)


def _is_running(host: Host, session: int) -> bool:
    return any(it.session_id == session for it in host._residents.sessions()) and (
        host._residents.starting == 0
    )


@pytest.fixture
def make_cluster(
    redis_url: str, redis: redis_module.Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> MakeCluster:
    monkeypatch.setattr(guarded_chats, "_LEARNED_SECONDS", 0.3)
    monkeypatch.setattr(guarded_chats, "_POLL_SECONDS", 0.1)
    return lambda sandbox: Cluster(sandbox, redis_url, redis, tmp_path)


async def settled(*channels: Channel) -> list[list[str]]:
    """Return what is in the channels once nothing has come for a while."""
    before: list[list[str]] = []
    quiet = 0
    while quiet < 12:
        await asyncio.sleep(0.05)
        now = [sorted(texts(it)) for it in channels]
        quiet = quiet + 1 if now == before else 0
        before = now
    return before


def test_two_accounts_that_forward_to_each_other_multiply_nothing(
    make_cluster: MakeCluster,
) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        cluster = make_cluster(sandbox)
        one, two = sandbox.channel(), sandbox.channel()
        cluster.add(one, two)
        cluster.add(two, one)
        async with cluster.running(1, 5), cluster.running(2, 5):
            for number in range(30):
                say(sandbox, one, f"from one {number}")
                say(sandbox, two, f"from two {number}")
                await asyncio.sleep(0.005)
            wanted = sorted(f"from {it} {n}" for it in ("one", "two") for n in range(30))
            assert await settled(one, two) == [wanted, wanted]
        assert not cluster.redis.hgetall(keys.intents(one.marked))
        assert not cluster.redis.hgetall(keys.intents(two.marked))

    run_scenario(scenario)


def test_forums_of_two_accounts_that_follow_each_other_make_no_topic_twice(
    make_cluster: MakeCluster,
) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        cluster = make_cluster(sandbox)
        world = sandbox.server.world
        one, two = (world.add_channel(it, forum=True) for it in ("one", "two"))
        cluster.add(one, two, sync=("topics",))
        cluster.add(two, one, sync=("topics",))
        cluster.redis.set(keys.LINKS_COMPLETE, "1")
        two.creator, one.creator = (it.id for it in cluster.accounts)
        async with cluster.running(1, 5), cluster.running(2, 5):
            for number in range(5):
                for name, it in (("one", one), ("two", two)):
                    topic = make(sandbox, it, f"{number} of {name}")
                    put(sandbox, it, f"message of {topics(it)[topic].title}", topic)
            wanted = sorted(f"{number} of {it}" for it in ("one", "two") for number in range(5))
            await until(lambda: len(shown(one)) >= 10 and len(shown(two)) >= 10)
            change(sandbox, one, min(it for it in topics(one) if it > 1), title="renamed")
            await until(lambda: ("renamed", False) in titles(two))
            await settled(one, two)
            for it in (one, two):
                assert len(shown(it)) == 10
                named = {(title, text.removeprefix("message of ")) for title, text in shown(it)}
                assert [pair for pair in named if len(set(pair)) > 1] == [("renamed", wanted[0])]
                assert sorted(title for title, _ in titles(it)) == [*wanted[1:], "renamed"]

    run_scenario(scenario)


def test_a_chain_over_accounts_goes_on_and_a_ring_ends_where_it_began(
    make_cluster: MakeCluster,
) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        cluster = make_cluster(sandbox)
        ring = [sandbox.channel() for _ in range(3)]
        for number in range(3):
            cluster.add(ring[number], ring[(number + 1) % 3])
        async with cluster.running(1, 5), cluster.running(2, 5), cluster.running(3, 5):
            say(sandbox, ring[0], "first", "second")
            say(sandbox, ring[1], "third")
            wanted = ["first", "second", "third"]
            assert await settled(*ring) == [wanted, wanted, wanted]

    run_scenario(scenario)


def test_a_restart_from_older_cursors_multiplies_nothing(make_cluster: MakeCluster) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        cluster = make_cluster(sandbox)
        one, two = sandbox.channel(), sandbox.channel()
        cluster.add(one, two)
        cluster.add(two, one)
        async with cluster.running(1, 5), cluster.running(2, 5):
            old = cluster.cursors()
            for number in range(40):
                say(sandbox, one, f"from one {number}")
                say(sandbox, two, f"from two {number}")
            before = await settled(one, two)
        for account in cluster.accounts:
            account.sent.clear()
        cluster.put_back(old)
        async with cluster.running(1, 6), cluster.running(2, 6):
            say(sandbox, one, "news")
            one_now, two_now = await settled(one, two)
        assert Counter(one_now) == Counter([*before[0], "news"])
        assert Counter(two_now) == Counter([*before[1], "news"])

    run_scenario(scenario)


def test_a_copy_whose_link_died_with_its_node_is_not_taken_for_an_original(
    make_cluster: MakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reader waits until the next owner has replayed what the dead node had sent."""

    async def scenario(sandbox: SandboxHarness) -> None:
        cluster = make_cluster(sandbox)
        one, two = sandbox.channel(), sandbox.channel()
        cluster.add(one, two)
        cluster.add(two, one)
        async with cluster.running(1, 5):
            pass
        async with cluster.running(2, 5):
            old = {keys.cursor(1): cluster.cursors()[keys.cursor(1)]}
            with monkeypatch.context() as dying:
                # Its batch was stored before it was sent; its links are not stored any more.
                async with cluster.running(1, 6):
                    dying.setattr(MadeLinks, "take", lambda _: [])
                    dying.setattr(Intents, "end", lambda _self, _chat: None)
                    say(sandbox, one, "news")
                    await until(lambda: texts(two) == ["news"])
            cluster.put_back(old)
            assert await settled(one, two) == [["news"], ["news"]]
            say(sandbox, two, "behind it")
            assert await settled(one) == [["news"]]
            async with cluster.running(1, 7):
                await until(lambda: texts(one) == ["news", "behind it"])
                assert await settled(one, two) == [["behind it", "news"]] * 2
        assert not cluster.redis.hgetall(keys.intents(two.marked))

    run_scenario(scenario)


def test_a_running_session_learns_that_another_one_posts_to_its_source(
    make_cluster: MakeCluster,
) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        cluster = make_cluster(sandbox)
        one, two = sandbox.channel(), sandbox.channel()
        cluster.add(one, two)
        cluster.add(two, one)
        async with cluster.running(1, 5):
            say(sandbox, one, "before")
            await until(lambda: texts(two) == ["before"])
            async with cluster.running(2, 5):
                say(sandbox, one, "after")
                assert await settled(one, two) == [["after", "before"]] * 2

    run_scenario(scenario)
