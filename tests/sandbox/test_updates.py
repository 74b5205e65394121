"""Pushed updates, and the differences that replace missed ones."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from support.raw import channel_difference
from support.sandbox import SandboxHarness, run_scenario, until
from telethon import errors, events
from telethon.tl import functions, types

from afx.sandbox.strictness import Strictness


def test_a_private_message_reaches_the_other_with_right_pts() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        alice, bob = sandbox.server.world.add_account(), sandbox.server.world.add_account()
        his = await sandbox.client(sandbox.login(bob))
        got: list[Any] = []
        his.add_event_handler(got.append, events.NewMessage(incoming=True))
        hers = await sandbox.client(sandbox.login(alice))
        peer = types.InputPeerUser(bob.id, bob.hash_for(alice.id))
        for text in ("one", "two", "three"):
            await hers.send_message(peer, text)
        await until(lambda: len(got) == 3)
        assert [it.raw_text for it in got] == ["one", "two", "three"]
        assert (await his(functions.updates.GetStateRequest())).pts == bob.box.pts == 4

    run_scenario(scenario)


def test_a_group_message_reaches_all_members() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        members = [sandbox.server.world.add_account() for _ in range(3)]
        group = sandbox.server.world.add_group("group", members[0].id, [it.id for it in members])
        clients = [await sandbox.client(sandbox.login(it)) for it in members]
        got: list[str] = []
        for client in clients[1:]:
            client.add_event_handler(lambda it: got.append(it.raw_text), events.NewMessage())
        await clients[0](
            functions.messages.SendMessageRequest(types.InputPeerChat(group.id), "hi", random_id=1)
        )
        await until(lambda: got == ["hi", "hi"])

    run_scenario(scenario)


def test_a_difference_contains_missed_messages_and_the_ids_of_own_sends() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        alice, bob = sandbox.server.world.add_account(), sandbox.server.world.add_account()
        hers = await sandbox.client(sandbox.login(alice))
        await hers(
            functions.messages.SendMessageRequest(
                types.InputPeerUser(bob.id, bob.hash_for(alice.id)), "hi", random_id=77
            )
        )
        diff = await hers(
            functions.updates.GetDifferenceRequest(pts=1, date=datetime.now(UTC), qts=0)
        )
        assert [it.message for it in diff.new_messages] == ["hi"]
        ids = [it for it in diff.other_updates if isinstance(it, types.UpdateMessageID)]
        assert [(it.random_id, it.id) for it in ids] == [(77, diff.new_messages[0].id)]

    run_scenario(scenario)


def test_a_channel_difference_is_returned_in_slices_with_an_end() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        account = sandbox.server.world.add_account()
        channel = sandbox.channel(account)
        for number in range(130):
            sandbox.server.world.post(channel, 0, str(number))
        client = await sandbox.client(sandbox.login(account))
        texts, pts, sizes = [], 1, []
        while True:
            diff = await client(channel_difference(account, channel, pts))
            if isinstance(diff, types.updates.ChannelDifferenceEmpty):
                break
            sizes.append(len(diff.new_messages))
            texts += [it.message for it in diff.new_messages]
            pts = diff.pts
            if diff.final:
                break
        assert (texts, sizes, pts) == ([str(it) for it in range(130)], [100, 30], 131)

    run_scenario(scenario)


def test_a_cursor_that_is_too_old_is_answered_with_too_long() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        account = sandbox.server.world.add_account()
        channel = sandbox.channel(account)
        for number in range(30):
            sandbox.server.world.post(channel, 0, str(number))
        client = await sandbox.client(sandbox.login(account))
        diff = await client(channel_difference(account, channel, 2))
        assert isinstance(diff, types.updates.ChannelDifferenceTooLong)
        assert diff.dialog.pts == 31

    run_scenario(scenario, log_limit=10)


@pytest.mark.parametrize(
    ("pts", "date", "refusal"),
    [
        (1, None, errors.DateEmptyError),
        (1, datetime.fromtimestamp(0, UTC), errors.DateEmptyError),
        (0, datetime.now(UTC), errors.PersistentTimestampEmptyError),
        (-1, datetime.now(UTC), errors.PersistentTimestampInvalidError),
        (9, datetime.now(UTC), errors.PersistentTimestampInvalidError),
    ],
    ids=["no date", "date 0", "pts 0", "pts below 0", "pts above the box's"],
)
def test_a_difference_from_no_state_is_refused(
    pts: int, date: datetime | None, refusal: type[Exception]
) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        client = await sandbox.client(sandbox.login(sandbox.server.world.add_account()))
        with pytest.raises(refusal):
            await client(functions.updates.GetDifferenceRequest(pts=pts, date=date, qts=0))

    run_scenario(scenario)


@pytest.mark.parametrize(
    ("pts", "refusal"),
    [
        (0, errors.PersistentTimestampEmptyError),
        (-1, errors.PersistentTimestampInvalidError),
        (9, errors.PersistentTimestampInvalidError),
    ],
)
def test_a_channel_difference_from_no_state_is_refused(pts: int, refusal: type[Exception]) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        account = sandbox.server.world.add_account()
        channel = sandbox.channel(account)
        client = await sandbox.client(sandbox.login(account))
        with pytest.raises(refusal):
            await client(channel_difference(account, channel, pts))

    run_scenario(scenario)


def test_a_difference_above_the_limit_that_the_client_gives_is_too_long() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        world = sandbox.server.world
        account, friend = world.add_account(), world.add_account()
        for number in range(6):
            world.deliver(account, friend, str(number))
        client = await sandbox.client(sandbox.login(account))
        found = [
            await client(
                functions.updates.GetDifferenceRequest(
                    1, datetime.now(UTC), 0, pts_total_limit=limit
                )
            )
            for limit in (5, 6)
        ]
        assert [type(it) for it in found] == [
            types.updates.DifferenceTooLong,
            types.updates.Difference,
        ]

    run_scenario(scenario)


def test_an_account_s_log_has_a_limit_of_its_own() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        world = sandbox.server.world
        account, friend = world.add_account(), world.add_account()
        channel = sandbox.channel(account)
        for number in range(8):
            world.deliver(account, friend, str(number))
            world.post(channel, 0, str(number))
        client = await sandbox.client(sandbox.login(account))
        request = functions.updates.GetDifferenceRequest(1, datetime.now(UTC), 0)
        assert isinstance(await client(request), types.updates.DifferenceTooLong)
        found = await client(channel_difference(account, channel, 1))
        assert isinstance(found, types.updates.ChannelDifference)

    run_scenario(scenario, common_log_limit=4)


def test_dialogs_may_come_without_pts() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        account = sandbox.server.world.add_account()
        channel = sandbox.channel(account)
        for number in range(9):
            sandbox.server.world.post(channel, 0, str(number))
        client = await sandbox.client(sandbox.login(account))
        [dialog] = await client.get_dialogs()
        assert dialog.dialog.pts is None
        found = await client(channel_difference(account, channel, 1))
        assert found.dialog.pts is None

    run_scenario(scenario, rules=Strictness(dialogs_without_pts=True), log_limit=4)
