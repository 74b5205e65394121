"""An unmodified Telethon against the sandbox."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from support.sandbox import Town, play, until
from telethon import errors, events
from telethon.network import (
    ConnectionTcpAbridged,
    ConnectionTcpFull,
    ConnectionTcpIntermediate,
)
from telethon.tl import functions, types

from afx.sandbox.judge.flow import post


@pytest.mark.parametrize(
    "transport", [ConnectionTcpFull, ConnectionTcpAbridged, ConnectionTcpIntermediate]
)
def test_a_client_exchanges_keys_and_signs_in_by_code(transport: type) -> None:
    async def story(town: Town) -> None:
        client = await town.client(connection=transport)
        await client.send_code_request("99966123")
        me = await client.sign_in("99966123", town.server.sign_ins.code("99966123"))
        assert (await client.get_me()).id == me.id

    play(story)


def test_a_wrong_code_is_refused() -> None:
    async def story(town: Town) -> None:
        client = await town.client()
        await client.send_code_request("99966123")
        wrong = f"{(int(town.server.sign_ins.code('99966123')) + 1) % 100_000:05d}"
        with pytest.raises(errors.PhoneCodeInvalidError):
            await client.sign_in("99966123", wrong)

    play(story)


def test_without_a_login_nothing_else_is_answered() -> None:
    async def story(town: Town) -> None:
        client = await town.client()
        with pytest.raises(errors.AuthKeyUnregisteredError):
            await client(functions.updates.GetStateRequest())

    play(story)


def test_messages_can_be_sent_read_edited_and_deleted() -> None:
    async def story(town: Town) -> None:
        account = town.server.world.add_account()
        channel = town.channel(posters=(account,))
        client = await town.client(town.login(account))
        await client.get_dialogs()
        sent = await client.send_message(channel.marked, "hello **world**")
        [held] = await client.get_messages(channel.marked, 5)
        assert (held.id, held.raw_text, type(held.entities[0])) == (
            sent.id,
            "hello world",
            types.MessageEntityBold,
        )
        await client.edit_message(channel.marked, sent.id, "changed")
        assert (await client.get_messages(channel.marked, ids=sent.id)).raw_text == "changed"
        await client.delete_messages(channel.marked, sent.id)
        assert len(await client.get_messages(channel.marked, 5)) == 0

    play(story)


def test_a_long_history_comes_in_pages_both_ways() -> None:
    async def story(town: Town) -> None:
        account = town.server.world.add_account()
        channel = town.channel(account)
        for number in range(1, 251):
            town.server.world.post(channel, 0, f"message {number} " + "x" * 50)
        client = await town.client(town.login(account))
        await client.get_dialogs()
        newest_first = [it.id async for it in client.iter_messages(channel.marked)]
        oldest_first = [it.id async for it in client.iter_messages(channel.marked, reverse=True)]
        assert newest_first == list(range(250, 0, -1))
        assert oldest_first == list(range(1, 251))

    play(story)


def test_chats_are_found_by_name_and_by_id() -> None:
    async def story(town: Town) -> None:
        world = town.server.world
        account = world.add_account()
        channel = world.add_channel("News", username="news", members=[account.id])
        client = await town.client(town.login(account))
        found = await client.get_entity("@news")
        assert (found.id, found.title) == (channel.id, "News")
        assert (await client.get_entity(types.PeerChannel(channel.id))).title == "News"
        with pytest.raises(ValueError, match="No user has"):
            await client.get_entity("@nobody_at_all")

    play(story)


def test_a_wrong_access_hash_opens_nothing() -> None:
    async def story(town: Town) -> None:
        account = town.server.world.add_account()
        channel = town.channel(account)
        client = await town.client(town.login(account))
        with pytest.raises(errors.ChannelInvalidError):
            await client(functions.channels.GetChannelsRequest([types.InputChannel(channel.id, 1)]))

    play(story)


def test_a_private_message_reaches_the_other_with_right_pts() -> None:
    async def story(town: Town) -> None:
        alice, bob = town.server.world.add_account(), town.server.world.add_account()
        his = await town.client(town.login(bob))
        got: list[Any] = []
        his.add_event_handler(got.append, events.NewMessage(incoming=True))
        hers = await town.client(town.login(alice))
        peer = types.InputPeerUser(bob.id, bob.hash)
        for text in ("one", "two", "three"):
            await hers.send_message(peer, text)
        await until(lambda: len(got) == 3)
        assert [it.raw_text for it in got] == ["one", "two", "three"]
        assert (await his(functions.updates.GetStateRequest())).pts == bob.box.pts == 4

    play(story)


def test_a_group_message_reaches_all_members() -> None:
    async def story(town: Town) -> None:
        members = [town.server.world.add_account() for _ in range(3)]
        group = town.server.world.add_group("group", members[0].id, [it.id for it in members])
        clients = [await town.client(town.login(it)) for it in members]
        got: list[str] = []
        for client in clients[1:]:
            client.add_event_handler(lambda it: got.append(it.raw_text), events.NewMessage())
        await clients[0](
            functions.messages.SendMessageRequest(types.InputPeerChat(group.id), "hi", random_id=1)
        )
        await until(lambda: got == ["hi", "hi"])

    play(story)


def test_a_difference_tells_what_was_missed_and_the_ids_of_own_sends() -> None:
    async def story(town: Town) -> None:
        alice, bob = town.server.world.add_account(), town.server.world.add_account()
        hers = await town.client(town.login(alice))
        await hers(
            functions.messages.SendMessageRequest(
                types.InputPeerUser(bob.id, bob.hash), "hi", random_id=77
            )
        )
        diff = await hers(
            functions.updates.GetDifferenceRequest(pts=1, date=datetime.now(UTC), qts=0)
        )
        assert [it.message for it in diff.new_messages] == ["hi"]
        ids = [it for it in diff.other_updates if isinstance(it, types.UpdateMessageID)]
        assert [(it.random_id, it.id) for it in ids] == [(77, diff.new_messages[0].id)]

    play(story)


def test_a_channel_difference_comes_in_slices_and_ends() -> None:
    async def story(town: Town) -> None:
        account = town.server.world.add_account()
        channel = town.channel(account)
        for number in range(130):
            town.server.world.post(channel, 0, str(number))
        client = await town.client(town.login(account))
        texts, pts, sizes = [], 1, []
        while True:
            diff = await client(_channel_difference(channel, pts))
            if isinstance(diff, types.updates.ChannelDifferenceEmpty):
                break
            sizes.append(len(diff.new_messages))
            texts += [it.message for it in diff.new_messages]
            pts = diff.pts
            if diff.final:
                break
        assert (texts, sizes, pts) == ([str(it) for it in range(130)], [100, 30], 131)

    play(story)


def test_a_cursor_that_is_too_old_is_told_so() -> None:
    async def story(town: Town) -> None:
        account = town.server.world.add_account()
        channel = town.channel(account)
        for number in range(30):
            town.server.world.post(channel, 0, str(number))
        client = await town.client(town.login(account))
        diff = await client(_channel_difference(channel, 2))
        assert isinstance(diff, types.updates.ChannelDifferenceTooLong)
        assert diff.dialog.pts == 31

    play(story, log_limit=10)


def test_the_same_random_id_is_refused() -> None:
    async def story(town: Town) -> None:
        account = town.server.world.add_account()
        channel = town.channel(posters=(account,))
        client = await town.client(town.login(account), request_retries=1)
        peer = types.InputPeerChannel(channel.id, channel.hash)
        request = functions.messages.SendMessageRequest(peer, "once", random_id=5)
        await client(request)
        [future] = client._sender.send([request])
        with pytest.raises(errors.RandomIdDuplicateError):
            await future
        assert len(channel.box.messages) == 1

    play(story)


def test_a_flood_wait_names_its_seconds() -> None:
    async def story(town: Town) -> None:
        account = town.server.world.add_account()
        channel = town.channel(posters=(account,))
        town.server.faults.add_flood(account.id, channel.marked, 20)
        client = await town.client(town.login(account), flood_sleep_threshold=0)
        await client.get_dialogs()
        with pytest.raises(errors.FloodWaitError) as caught:
            await client.send_message(channel.marked, "hello")
        assert caught.value.seconds == 20

    play(story)


def test_only_posters_may_post_in_a_channel() -> None:
    async def story(town: Town) -> None:
        account = town.server.world.add_account()
        channel = town.channel(account)
        client = await town.client(town.login(account))
        await client.get_dialogs()
        with pytest.raises(errors.ChatWriteForbiddenError):
            await client.send_message(channel.marked, "hello")

    play(story)


def test_a_protected_channel_cannot_be_forwarded() -> None:
    async def story(town: Town) -> None:
        account = town.server.world.add_account()
        source, to = town.channel(account), town.channel(posters=(account,))
        source.noforwards = True
        post(town.server, source.marked, 0, "secret")
        client = await town.client(town.login(account))
        await client.get_dialogs()
        with pytest.raises(errors.ChatForwardsRestrictedError):
            await client.forward_messages(to.marked, 1, source.marked)

    play(story)


def test_a_login_that_lives_twice_is_revoked_and_the_overlap_recorded() -> None:
    async def story(town: Town) -> None:
        account = town.server.world.add_account()
        login = town.login(account)
        first = await town.client(login, auto_reconnect=False)
        with pytest.raises((errors.AuthKeyDuplicatedError, ConnectionError)):
            second = await town.client(login, auto_reconnect=False)
            await until(lambda: town.server.connections.overlaps)
            await second.get_me()
        assert town.server.connections.overlaps[0].account == account.id
        assert first

    play(story)


def test_a_login_that_moves_after_a_clean_disconnect_is_not_revoked() -> None:
    async def story(town: Town) -> None:
        login = town.login(town.server.world.add_account())
        for _ in range(5):
            client = await town.client(login)
            await client.get_me()
            await client.disconnect()
        assert not town.server.connections.overlaps

    play(story)


def test_an_old_connection_that_is_open_but_silent_revokes_nothing() -> None:
    """As that of a stopped process: its socket is open, nobody answers on it."""

    async def story(town: Town) -> None:
        login = town.login(town.server.world.add_account())
        first = await town.client(login, auto_reconnect=False)
        for loop in (first._sender._recv_loop_handle, first._sender._send_loop_handle):
            loop.cancel()
        second = await town.client(login)
        await second.get_me()
        assert not town.server.connections.overlaps

    play(story)


def test_cut_and_refused_connections_come_back_when_the_fault_ends() -> None:
    async def story(town: Town) -> None:
        client = await town.client(
            town.login(town.server.world.add_account()), connection_retries=50, retry_delay=0.05
        )
        town.server.faults.refusing = True
        assert town.server.connections.drop() == 1
        await asyncio.sleep(0.1)
        assert not town.server.connections
        town.server.faults.refusing = False
        await until(lambda: town.server.connections)
        assert await client.get_me()

    play(story)


def _channel_difference(channel: Any, pts: int) -> Any:
    return functions.updates.GetChannelDifferenceRequest(
        types.InputChannel(channel.id, channel.hash), types.ChannelMessagesFilterEmpty(), pts, 100
    )
