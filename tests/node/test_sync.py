"""Copies follow the edits, deletes and pins of their sources, whatever dies in between."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from support.following import ALL, pin, pinned, settled
from support.sandbox import SandboxHarness, run_scenario, until
from support.sessions import RefusingHandler, SessionHarness, one_rule, say, texts
from telethon.tl import functions

from afx.forwarding.pipeline import Delivery
from afx.node.forwarder import Forwarder
from afx.sandbox.judge.flow import delete, edit, post
from afx.sandbox.telegram.changes import Place

SEND = functions.messages.SendMessageRequest
EDIT = functions.messages.EditMessageRequest
DELETE = functions.channels.DeleteMessagesRequest
PIN = functions.messages.UpdatePinnedMessageRequest


def test_edits_deletes_and_pins_reach_the_copies_in_their_order() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        footer = {"transform": ({"footer": "x"},)}
        session = harness.session(account, (source, to, "copy", {**ALL, **footer}))
        await session.start()
        say(sandbox, source, "one", "two", "three")
        await until(lambda: len(texts(to)) == 3)
        edit(sandbox.server, source.marked, 0, 1, "1")
        edit(sandbox.server, source.marked, 0, 1, "uno")
        pin(sandbox, source, 1)
        pin(sandbox, source, 3)
        pin(sandbox, source, 1, pinned=False)
        delete(sandbox.server, source.marked, 0, [2])
        say(sandbox, source, "four")
        await until(lambda: "four\nx" in texts(to))
        await settled(session, source)
        copies = [it for it in texts(to) if it]
        assert copies == ["uno\nx", "three\nx", "four\nx"]
        assert pinned(to) == ["three\nx"]
        account_box = session.reader.account
        assert not account_box.waiting, "the pts of a deletion is that of its channel"
        assert session.reader.is_idle
        await session.stop()
        assert not harness.commit(session).get("outbox") and not harness.dead

    run_scenario(scenario)


def test_a_rule_follows_only_what_it_names() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        edited, kept = (sandbox.channel(posters=(account,)) for _ in range(2))
        session = harness.session(
            account,
            (source, to, "forward", {"sync": ("deletes",)}),
            (source, edited, "copy", {"sync": ("edits",)}),
            (source, kept, "copy"),
        )
        await session.start()
        say(sandbox, source, "one", "two")
        await until(lambda: all(len(texts(it)) == 2 for it in (to, edited, kept)))
        edit(sandbox.server, source.marked, 0, 1, "uno")
        delete(sandbox.server, source.marked, 0, [2])
        await settled(session, source)
        assert [texts(it) for it in (to, edited, kept)] == [
            ["one"],
            ["uno", "two"],
            ["one", "two"],
        ]
        await session.stop()

    run_scenario(scenario)


def test_copies_that_are_gone_or_were_never_made_need_no_change(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        rule = {**ALL, "filter": {"contains": ["a"]}}
        session = harness.session(account, (source, to, "copy", rule))
        await session.start()
        say(sandbox, source, "a 1", "b 2")
        await until(lambda: texts(to) == ["a 1"])
        sandbox.server.world.delete(to.box, [1])
        requests = RefusingHandler(monkeypatch, EDIT).requests
        edit(sandbox.server, source.marked, 0, 1, "a uno")
        edit(sandbox.server, source.marked, 0, 2, "a dos")
        await settled(session, source)
        assert len(requests) == 1 and not texts(to)
        await session.stop()
        harness.commit(session)
        assert not harness.dead

    run_scenario(scenario)


def test_captions_files_and_kinds_without_text() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy", ALL))
        await session.start()
        world = sandbox.server.world
        first, second = (world.files.add(it, is_photo=True) for it in (b"one", b"two"))
        message, event = world.post(source, 0, "caption", media=first)
        sandbox.server.pushes.channel_event(source, event, message)
        await until(lambda: texts(to) == ["caption"])
        place = Place(world, sandbox.server.pushes, source, 0)
        place.edit(message, message.content._replace(text="new", media=second))
        await until(lambda: texts(to) == ["new"])
        copy = next(iter(to.box.messages.values()))
        await until(lambda: copy.media is not None and copy.media.key == second.key)
        place.edit(message, message.content._replace(text=""))
        await until(lambda: texts(to) == [""])
        await session.stop()

    run_scenario(scenario)


def test_private_chats_and_groups_are_followed_by_the_accounts_own_ids() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        world = sandbox.server.world
        account, friend = world.add_account(), world.add_account()
        group = world.add_group("group", friend.id, [account.id])
        to = sandbox.channel(posters=(account,))
        world.deliver(account, friend, "an old message makes it a dialog")
        session = SessionHarness(sandbox).session(
            account, (str(group.marked), to, "copy", ALL), (str(friend.id), to, "copy", ALL)
        )
        await session.start()
        numbers = [
            post(sandbox.server, group.marked, friend.id, "in the group"),
            post(sandbox.server, account.id, friend.id, "in private"),
            post(sandbox.server, group.marked, friend.id, "more"),
        ]
        await until(lambda: len(texts(to)) == 3)
        edit(sandbox.server, friend.id, friend.id, numbers[0], "edited")
        await until(lambda: "edited" in texts(to))
        delete(sandbox.server, friend.id, friend.id, numbers[1:2])
        await until(lambda: len(texts(to)) == 2)
        assert texts(to) == ["edited", "more"]
        await session.stop()

    run_scenario(scenario)


def test_a_delete_outside_channels_is_of_an_own_message_of_the_destination_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A link that is wrong takes no message away from another chat."""

    async def scenario(sandbox: SandboxHarness) -> None:
        world = sandbox.server.world
        account, friend = world.add_account(), world.add_account()
        source = sandbox.channel(account)
        group = world.add_group("group", friend.id, [account.id])
        world.deliver(friend, account, "private")
        world.deliver(group, friend, "of the friend")
        ids = {it.text: it.id for it in account.box.messages.values()}
        wrong = {1: ids["private"], 2: ids["of the friend"]}
        find = Forwarder.find_copies

        async def find_copies(forwarder: Forwarder, changes: Sequence[Delivery]) -> None:
            await find(forwarder, changes)
            for it in changes:
                it.copy = wrong.get(it.message, it.copy)

        def held() -> list[str]:
            return [it.text for it in account.box.messages.values() if it.text]

        monkeypatch.setattr(Forwarder, "find_copies", find_copies)
        harness = SessionHarness(sandbox)
        session = harness.session(account, (source, str(group.marked), "copy", ALL))
        await session.start()
        say(sandbox, source, "one", "two", "three")
        await until(lambda: "three" in held())
        await settled(session, source)
        delete(sandbox.server, source.marked, 0, [1, 2, 3])
        await settled(session, source)
        assert held() == ["private", "of the friend", "one", "two"]
        await session.stop()
        harness.commit(session)
        assert not harness.dead

    run_scenario(scenario)


def test_a_change_of_what_a_rule_follows_needs_no_restart() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        say(sandbox, source, "one")
        await until(lambda: texts(to) == ["one"])
        edit(sandbox.server, source.marked, 0, 1, "two")
        await settled(session, source)
        assert texts(to) == ["one"]
        [rule] = session.spec.rules
        session.renew([replace(rule, sync=("edits",))])
        edit(sandbox.server, source.marked, 0, 1, "three")
        await until(lambda: texts(to) == ["three"])
        await session.stop()

    run_scenario(scenario)


def test_changes_of_a_source_that_cannot_be_read_just_then_are_followed() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy", ALL))
        await session.start()
        say(sandbox, source, "one", "two")
        await until(lambda: len(texts(to)) == 2)
        session.forwarder.use_routes({})  # as while it is tried again
        edit(sandbox.server, source.marked, 0, 1, "uno")
        delete(sandbox.server, source.marked, 0, [2])
        await until(lambda: texts(to) == ["uno"])
        await session.stop()

    run_scenario(scenario)


def test_changes_go_round_no_loop_and_along_each_chain() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, there, back = one_rule(sandbox)
        end = sandbox.channel(posters=(account,))
        there.posters.add(account.id)
        for it in (back, end):
            account.dialogs[it.marked] = None
        rules = ((there, back), (back, there), (there, end))
        session = harness.session(account, *((a, b, "copy", ALL) for a, b in rules))
        await session.start()
        say(sandbox, there, "one", "two")
        await until(lambda: len(texts(back)) == len(texts(end)) == 2)
        say(sandbox, back, "three")
        await until(lambda: len(texts(there)) == 3)
        for it in (there, back):
            await settled(session, it)
        edit(sandbox.server, there.marked, 0, 1, "uno")
        delete(sandbox.server, there.marked, 0, [2])
        await until(lambda: "uno" in texts(back) and "uno" in texts(end))
        sandbox.server.connections.drop(account.id)  # its own edits come back in differences
        pin(sandbox, there, 1)
        await until(lambda: pinned(back) == pinned(end) == ["uno"])
        for it in (there, back):
            await settled(session, it)
        found = [sorted(it for it in texts(chat) if it) for chat in (there, back, end)]
        assert found == [["three", "uno"], ["three", "uno"], ["uno"]]
        await session.stop()
        harness.commit(session)
        assert not harness.dead

    run_scenario(scenario)


def test_an_edit_soon_after_its_message_asks_redis_for_no_link(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy", {"sync": ("edits", "deletes")}))
        await session.start()
        say(sandbox, source, "one", "two")
        await until(lambda: texts(to) == ["one", "two"])
        asked = []
        monkeypatch.setattr(harness.links, "blocks", asked.append)
        edit(sandbox.server, source.marked, 0, 1, "uno")
        await until(lambda: texts(to) == ["uno", "two"])
        harness.commit(session)
        session.note_committed()
        delete(sandbox.server, source.marked, 0, [2])
        await until(lambda: texts(to) == ["uno"])
        assert not asked
        await session.stop()

    run_scenario(scenario)
