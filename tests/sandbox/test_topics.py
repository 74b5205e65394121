"""Forums, their topics, and sending into them (api/forum)."""

from __future__ import annotations

from typing import Any

import pytest
from support.raw import (
    channel_difference,
    forward,
    input_channel,
    input_peer,
    message_ids,
    messages_of,
    raw,
    text,
)
from support.sandbox import SandboxHarness, run_scenario
from telethon import TelegramClient, errors
from telethon.tl import functions, types

from afx.sandbox.telegram.peers import Account, Channel


class Forum:
    """A forum with its owner's client and a member's."""

    def __init__(self, sandbox: SandboxHarness) -> None:
        world = sandbox.server.world
        self.sandbox = sandbox
        self.owner, self.member = world.add_account(), world.add_account()
        self.chat = world.add_channel(
            "forum", creator=self.owner.id, forum=True, members=[self.member.id]
        )
        self.clients: dict[int, TelegramClient] = {}

    async def client(self, account: Account) -> TelegramClient:
        if account.id not in self.clients:
            client = await self.sandbox.client(self.sandbox.login(account))
            await client.get_dialogs()
            self.clients[account.id] = client
        return self.clients[account.id]

    async def ask(self, account: Account, request: Any) -> Any:
        return await raw(await self.client(account), request)

    async def create(self, title: str, random_id: int = 1) -> int:
        request = functions.messages.CreateForumTopicRequest(
            input_peer(self.owner, self.chat), title, random_id=random_id
        )
        [(_, number)] = message_ids((await self.ask(self.owner, request)).updates)
        return number

    async def edit(self, number: int, **fields: Any) -> Any:
        request = functions.messages.EditForumTopicRequest(
            input_peer(self.owner, self.chat), number, **fields
        )
        return await self.ask(self.owner, request)

    async def send(self, account: Account, words: str, random_id: int, **reply: Any) -> int:
        request = text(account, self.chat, words, random_id)
        if reply:
            request.reply_to = types.InputReplyToMessage(**reply)
        [(_, number)] = message_ids((await self.ask(account, request)).updates)
        return number

    async def header(self, number: int) -> tuple[bool, int | None, int | None] | None:
        page = await self.ask(self.member, messages_of(self.member, self.chat, [number]))
        found = page.messages[0].reply_to
        if found is None:
            return None
        return bool(found.forum_topic), found.reply_to_msg_id, found.reply_to_top_id

    async def topics(self, **fields: Any) -> Any:
        values = {"offset_date": None, "offset_id": 0, "offset_topic": 0, "limit": 10} | fields
        peer = input_peer(self.member, self.chat)
        return await self.ask(self.member, functions.messages.GetForumTopicsRequest(peer, **values))


def test_a_topic_has_the_id_of_the_message_that_made_it_and_is_made_once() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        forum = Forum(sandbox)
        await forum.send(forum.member, "in General", 5)
        number = await forum.create("News")
        assert await forum.create("News") == number == 3
        page = await forum.topics()
        assert [(it.id, it.title, it.top_message) for it in page.topics] == [
            (3, "News", 3),
            (1, "General", 2),
        ]
        assert (page.count, page.chats[0].forum) == (2, True)
        [made] = [it for it in page.messages if it.id == 3]
        assert made.action.title == "News"

    run_scenario(scenario)


def test_messages_go_to_the_topic_that_they_name_or_whose_message_they_answer() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        forum = Forum(sandbox)
        topic = await forum.create("News")
        member = forum.member
        first = await forum.send(member, "first", 11, reply_to_msg_id=topic)
        answer = await forum.send(member, "second", 12, reply_to_msg_id=first, top_msg_id=topic)
        general = await forum.send(member, "third", 13)
        in_general = await forum.send(member, "fourth", 14, reply_to_msg_id=general)
        assert await forum.header(first) == (True, topic, None)
        assert await forum.header(answer) == (True, first, topic)
        assert await forum.header(general) is None
        assert await forum.header(in_general) == (False, general, None)
        tops = {it.id: it.top_message for it in (await forum.topics()).topics}
        assert tops == {1: in_general, topic: answer}

    run_scenario(scenario)


def test_an_answer_to_a_deleted_message_stays_in_the_topic_that_it_names() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        forum = Forum(sandbox)
        topic = await forum.create("News")
        gone = await forum.send(forum.member, "gone", 11, reply_to_msg_id=topic)
        sandbox.server.world.delete(forum.chat.box, [gone])
        named = await forum.send(forum.member, "one", 12, reply_to_msg_id=gone, top_msg_id=topic)
        lost = await forum.send(forum.member, "two", 13, reply_to_msg_id=gone)
        assert await forum.header(named) == (True, topic, None)
        assert await forum.header(lost) is None
        with pytest.raises(errors.RPCError, match="REPLY_MESSAGE_ID_INVALID"):
            await forum.send(forum.member, "three", 14, reply_to_msg_id=999)

    run_scenario(scenario)


def test_a_closed_topic_takes_messages_of_its_owner_alone() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        forum = Forum(sandbox)
        topic = await forum.create("News")
        sent = await forum.send(forum.member, "one", 11, reply_to_msg_id=topic)
        await forum.edit(topic, closed=True)
        with pytest.raises(errors.RPCError, match="TOPIC_CLOSED") as caught:
            await forum.send(forum.member, "two", 12, reply_to_msg_id=topic)
        assert caught.value.code == 406
        assert await forum.send(forum.member, "one", 11, reply_to_msg_id=topic) == sent
        await forum.send(forum.owner, "three", 13, reply_to_msg_id=topic)
        await forum.send(forum.member, "in General", 14)
        await forum.edit(topic, closed=False)
        await forum.send(forum.member, "four", 15, reply_to_msg_id=topic)

    run_scenario(scenario)


def test_general_can_be_closed_and_hidden_but_not_deleted() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        forum = Forum(sandbox)
        await forum.edit(1, closed=True)
        await forum.edit(1, hidden=True)
        with pytest.raises(errors.RPCError, match="TOPIC_CLOSED"):
            await forum.send(forum.member, "one", 11)
        peer = input_peer(forum.owner, forum.chat)
        with pytest.raises(errors.RPCError, match="TOPIC_ID_INVALID"):
            await forum.ask(forum.owner, functions.messages.DeleteTopicHistoryRequest(peer, 1))

    run_scenario(scenario)


def test_a_deleted_topic_is_gone_with_its_messages() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        forum = Forum(sandbox)
        topic = await forum.create("News")
        await forum.send(forum.member, "one", 11, reply_to_msg_id=topic)
        general = await forum.send(forum.member, "in General", 12)
        before = forum.chat.box.pts
        peer = input_peer(forum.owner, forum.chat)
        request = functions.messages.DeleteTopicHistoryRequest(peer, topic)
        affected = await forum.ask(forum.owner, request)
        assert (affected.pts_count, affected.offset) == (2, 0)
        assert list(forum.chat.box.messages) == [general]
        with pytest.raises(errors.TopicDeletedError):
            await forum.send(forum.member, "two", 13, reply_to_msg_id=topic)
        found = await forum.ask(forum.member, channel_difference(forum.member, forum.chat, before))
        assert [it.messages for it in found.other_updates] == [[topic, topic + 1]]
        by_id = functions.messages.GetForumTopicsByIDRequest(
            input_peer(forum.member, forum.chat), [1, topic]
        )
        kinds = [type(it) for it in (await forum.ask(forum.member, by_id)).topics]
        assert kinds == [types.ForumTopic, types.ForumTopicDeleted]

    run_scenario(scenario)


def test_an_edit_of_a_topic_is_told_in_it_and_one_that_changes_nothing_is_refused() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        forum = Forum(sandbox)
        topic = await forum.create("News")
        answer = await forum.edit(topic, title="Old news")
        [update] = answer.updates
        assert update.message.action.title == "Old news"
        assert await forum.header(update.message.id) == (True, topic, None)
        refused = {
            "TOPIC_NOT_MODIFIED": {"title": "Old news"},
            "TOPIC_CLOSE_SEPARATELY": {"title": "New", "closed": True},
            "TOPIC_TITLE_EMPTY": {"title": " "},
            "TOPIC_ID_INVALID": {"hidden": True},
        }
        for error, fields in refused.items():
            with pytest.raises(errors.RPCError, match=error):
                await forum.edit(topic, **fields)

    run_scenario(scenario)


def test_topics_are_paged_and_searched() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        forum = Forum(sandbox)
        made = [await forum.create(f"topic {it}", it + 1) for it in range(5)]
        first = await forum.topics(limit=2)
        second = await forum.topics(limit=9, offset_topic=first.topics[-1].id)
        numbers = [it.id for it in (*first.topics, *second.topics)]
        assert sorted(numbers) == sorted({1, *made})
        assert numbers[0] == made[-1]
        assert [it.title for it in (await forum.topics(q="TOPIC 3")).topics] == ["topic 3"]

    run_scenario(scenario)


def test_a_forward_goes_to_the_topic_that_it_names() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        forum = Forum(sandbox)
        source = sandbox.channel(forum.member)
        sandbox.server.world.post(source, 0, "news")
        topic = await forum.create("News")
        request = forward(forum.member, source, forum.chat, [1], [21])
        request.top_msg_id = topic
        [(_, copy)] = message_ids((await forum.ask(forum.member, request)).updates)
        assert await forum.header(copy) == (True, topic, None)
        request.random_id, request.top_msg_id = [22], 77
        with pytest.raises(errors.RPCError, match="TOPIC_ID_INVALID"):
            await forum.ask(forum.member, request)

    run_scenario(scenario)


def test_only_a_forum_has_topics_and_only_its_owner_makes_them() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        forum = Forum(sandbox)
        peer = input_peer(forum.member, forum.chat)
        with pytest.raises(errors.ChatAdminRequiredError):
            await forum.ask(
                forum.member,
                functions.messages.CreateForumTopicRequest(peer, "mine", random_id=1),
            )
        owner, chat = forum.owner, forum.chat
        await toggle(forum, owner, chat, on=False)
        with pytest.raises(errors.ChannelForumMissingError):
            await forum.topics()
        with pytest.raises(errors.ChatNotModifiedError):
            await toggle(forum, owner, chat, on=False)
        answer = await toggle(forum, owner, chat, on=True)
        assert answer.chats[0].forum
        assert [it.title for it in (await forum.topics()).topics] == ["General"]

    run_scenario(scenario)


async def toggle(forum: Forum, owner: Account, chat: Channel, *, on: bool) -> Any:
    request = functions.channels.ToggleForumRequest(input_channel(owner, chat), on, False)
    return await forum.ask(owner, request)


def test_a_client_may_make_a_forum_and_write_into_its_topics() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        account = sandbox.server.world.add_account()
        client = await sandbox.client(sandbox.login(account))
        made = await client(
            functions.channels.CreateChannelRequest("talk", "", megagroup=True, forum=True)
        )
        forum = made.chats[0]
        assert forum.forum
        await client.send_message(forum, "hello")
        created = await client(functions.messages.CreateForumTopicRequest(forum, "News"))
        topic = created.updates[0].id
        sent = await client.send_message(forum, "news", reply_to=topic)
        stored = await client.get_messages(forum, ids=sent.id)
        assert stored.reply_to.forum_topic and stored.reply_to.reply_to_msg_id == topic

    run_scenario(scenario)


def test_a_repeated_forward_returns_its_copies_although_the_topic_is_closed() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        forum = Forum(sandbox)
        source = sandbox.channel(forum.member)
        sandbox.server.world.post(source, 0, "news")
        topic = await forum.create("News")
        request = forward(forum.member, source, forum.chat, [1], [21])
        request.top_msg_id = topic
        first = message_ids((await forum.ask(forum.member, request)).updates)
        await forum.edit(topic, closed=True)
        assert message_ids((await forum.ask(forum.member, request)).updates) == first
        request.random_id = [22]
        with pytest.raises(errors.RPCError, match="TOPIC_CLOSED"):
            await forum.ask(forum.member, request)

    run_scenario(scenario)


def test_a_private_reply_names_each_side_s_own_message() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        world = sandbox.server.world
        account, friend, other = (world.add_account() for _ in range(3))
        for _ in range(2):
            world.deliver(friend, friend, "the ids of the two differ")
        [(_, elsewhere, _event), *_] = world.deliver(other, account, "elsewhere")
        client = await sandbox.client(sandbox.login(account))
        sent = await client(text(account, friend, "question", 1))
        request = text(account, friend, "answer", 2)
        request.reply_to = types.InputReplyToMessage(sent.id)
        await raw(client, request)
        theirs = {it.text: it for it in friend.box.messages.values()}
        assert theirs["answer"].reply_to == theirs["question"].id != sent.id
        request.random_id, request.reply_to = 3, types.InputReplyToMessage(elsewhere.id)
        with pytest.raises(errors.RPCError, match="REPLY_MESSAGE_ID_INVALID"):
            await raw(client, request)

    run_scenario(scenario)
