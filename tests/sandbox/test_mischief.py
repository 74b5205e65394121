"""Mischief by a seed: pushes that are omitted, late, doubled; replicas that lag."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from support.packets import wire
from support.raw import channel_difference, outcomes, raw, start, text
from support.sandbox import SandboxHarness, run_scenario, until
from telethon import TelegramClient, errors
from telethon.tl import functions, types

from afx.sandbox.judge.flow import post
from afx.sandbox.mischief import Dice, Mischief


class Updates:
    """All updates that a client is pushed, as they come."""

    def __init__(self) -> None:
        self.found: list[Any] = []
        self.put_nowait = self.found.append

    def of(self, kind: type) -> list[Any]:
        inner = [each for it in self.found for each in getattr(it, "updates", [it])]
        inner += [it.update for it in self.found if isinstance(it, types.UpdateShort)]
        return [it for it in [*self.found, *inner] if isinstance(it, kind)]


class Listener(TelegramClient):  # type: ignore[misc]
    """Hands its updates on without Telethon's own order and gaps."""

    async def connect(self) -> None:
        self.updates = self._updates_queue = self._sender._updates_queue = Updates()
        await super().connect()

    async def _update_loop(self) -> None:
        pass


async def listen(sandbox: SandboxHarness, account: Any) -> tuple[TelegramClient, Updates]:
    client = await sandbox.client(sandbox.login(account), kind=Listener)
    await raw(client, functions.updates.GetStateRequest())
    return client, client.updates


def pts(updates: Updates) -> list[int]:
    return [it.pts for it in updates.of(types.UpdateNewChannelMessage)]


def test_an_omitted_push_is_named_by_the_next_difference() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        account = sandbox.server.world.add_account()
        channel = sandbox.channel(account)
        client, updates = await listen(sandbox, account)
        sandbox.server.faults.cause(Mischief(omitted=1.0))
        post(sandbox.server, channel.marked, 0, "unheard")
        request = functions.updates.GetDifferenceRequest(1, datetime.now(UTC), 0)
        difference = await raw(client, request)
        [late] = difference.other_updates
        assert isinstance(late, types.UpdateChannelTooLong)
        assert late.channel_id == channel.id
        assert not updates.found

    run_scenario(scenario)


@pytest.mark.parametrize(
    ("mischief", "kind"),
    [
        (Mischief(too_long=1.0), types.UpdateChannelTooLong),
        (Mischief(short=1.0), types.UpdateShort),
        (Mischief(combined=1.0), types.UpdatesCombined),
        (Mischief(empty=1.0), types.UpdateChannelWebPage),
    ],
    ids=["too long", "short", "combined", "empty"],
)
def test_a_push_may_come_in_another_form(mischief: Mischief, kind: type) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        account = sandbox.server.world.add_account()
        channel = sandbox.channel(account)
        _client, updates = await listen(sandbox, account)
        sandbox.server.faults.cause(mischief)
        post(sandbox.server, channel.marked, 0, "one")
        await until(lambda: updates.of(kind))

    run_scenario(scenario)


def test_pushes_of_an_account_may_be_too_long_and_are_numbered_by_seq() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        world = sandbox.server.world
        account, friend = world.add_account(), world.add_account()
        _client, updates = await listen(sandbox, account)
        sandbox.server.faults.cause(Mischief(combined=1.0))
        for said in ("one", "two"):
            post(sandbox.server, account.id, friend.id, said)
        await until(lambda: len(updates.of(types.UpdatesCombined)) == 2)
        seqs = [(it.seq_start, it.seq) for it in updates.of(types.UpdatesCombined)]
        assert seqs == [(1, 1), (2, 2)]
        sandbox.server.faults.cause(Mischief(too_long=1.0))
        post(sandbox.server, account.id, friend.id, "three")
        await until(lambda: updates.of(types.UpdatesTooLong))

    run_scenario(scenario)


def test_pushes_may_be_doubled_and_out_of_order() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        account = sandbox.server.world.add_account()
        channel = sandbox.channel(account)
        _client, updates = await listen(sandbox, account)
        sandbox.server.faults.cause(Mischief(seed=3, doubled=0.5, late=0.5, late_seconds=0.1))
        for number in range(20):
            post(sandbox.server, channel.marked, 0, str(number))
        await until(lambda: set(pts(updates)) == set(range(2, 22)))
        assert len(pts(updates)) > 20
        assert pts(updates) != sorted(pts(updates))

    run_scenario(scenario)


def test_only_the_last_active_connection_of_a_login_gets_pushes() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        account = sandbox.server.world.add_account()
        line = await wire(sandbox, account)
        state = bytes(functions.updates.GetStateRequest())
        await line.ask(state)
        [first] = sandbox.server.connections.live[account.id]
        await line.reconnect()
        await line.ask(state)
        assert first not in sandbox.server.connections.live[account.id]

    run_scenario(scenario)


def test_a_replica_that_lags_does_not_have_the_newest_events_yet() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        account = sandbox.server.world.add_account()
        channel = sandbox.channel(account)
        for number in range(10):
            sandbox.server.world.post(channel, 0, str(number))
        client = await sandbox.client(sandbox.login(account))
        sandbox.server.faults.cause(Mischief(lagging=1.0, lag_events=1))
        part = await raw(client, channel_difference(account, channel, 1))
        assert (len(part.new_messages), part.pts, part.final) == (9, 10, True)
        rest = await raw(client, channel_difference(account, channel, part.pts))
        assert isinstance(rest, types.updates.ChannelDifferenceEmpty)
        assert rest.pts == 10

    run_scenario(scenario)


def test_answers_and_sessions_may_be_lost_by_chance() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        account = sandbox.server.world.add_account()
        channel = sandbox.channel(posters=(account,))
        client = await sandbox.client(sandbox.login(account))
        sandbox.server.faults.cause(Mischief(failed_answers=1.0))
        with pytest.raises(errors.ServerError):
            await raw(client, text(account, channel, "one", 1))
        sandbox.server.faults.cause(Mischief(lost_answers=1.0))
        lost = start(client, text(account, channel, "two", 2))
        await until(lambda: len(channel.box.messages) == 2)
        sandbox.server.faults.cause(Mischief(lost_sessions=1.0))
        start(client, text(account, channel, "three", 3))
        await until(lambda: len(channel.box.messages) == 3)
        sandbox.server.faults.cause(Mischief())
        await raw(client, functions.updates.GetStateRequest())
        assert not lost.done()

    run_scenario(scenario)


def test_parallel_requests_may_be_executed_in_another_order() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        account = sandbox.server.world.add_account()
        channel = sandbox.channel(posters=(account,))
        client = await sandbox.client(sandbox.login(account))
        sandbox.server.faults.cause(Mischief(seed=1, shuffled=1.0))
        await outcomes(start(client, *(text(account, channel, str(it), it) for it in range(9))))
        shuffled = [it.text for it in channel.box.messages.values()]
        assert shuffled != sorted(shuffled)
        await outcomes(
            start(
                client, *(text(account, channel, str(it), it) for it in range(10, 19)), ordered=True
            )
        )
        assert [it.text for it in channel.box.messages.values()][9:] == [
            str(it) for it in range(10, 19)
        ]

    run_scenario(scenario)


def test_the_same_seed_makes_the_same_decisions() -> None:
    one, two = Dice(Mischief(seed=5, late=0.5)), Dice(Mischief(seed=5, late=0.5))
    assert [one.hits(0.5) for _ in range(50)] == [two.hits(0.5) for _ in range(50)]
    assert not Mischief(seed=5).is_active
