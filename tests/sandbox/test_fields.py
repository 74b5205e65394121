"""How the ledger compares copies with their sources, field by field."""

from __future__ import annotations

from typing import Any

import pytest
from support.raw import forward, input_peer, raw
from support.sandbox import SandboxHarness, run_scenario
from telethon.tl import functions, types

from afx.sandbox.judge.ledger import Ledger
from afx.sandbox.judge.verdict import Verdict
from afx.sandbox.telegram.boxes import Message
from afx.sandbox.telegram.world import World

BOLD = types.MessageEntityBold(0, 3)


class Scene:
    """One account that copies from one channel to another."""

    def __init__(self) -> None:
        self.world = World()
        self.ledger = Ledger(self.world, [])
        self.account = self.world.add_account().id
        self.source = self.world.add_channel("source", members=[self.account])
        self.to = self.world.add_channel("copies", posters=[self.account])
        self.expect()

    def expect(self) -> None:
        self.ledger.expect(self.source.marked, self.to.marked, self.account)

    def post(self, text: str, **fields: Any) -> Message:
        return self.world.post(self.source, 0, text, **fields)[0]

    def copy(self, text: str, **fields: Any) -> Message:
        fields.setdefault("random_id", self.world.sent)
        return self.world.post(self.to, self.account, text, **fields)[0]

    def judge(self) -> Verdict:
        return self.ledger.judge()


@pytest.fixture
def scene() -> Scene:
    return Scene()


def file(scene: Scene, data: bytes = b"data", name: str = "a/b") -> Any:
    return scene.world.files.add(data, mime_type=name)


def figures(verdict: Verdict) -> dict[str, int]:
    names = ("lost", "duplicated", "altered", "wrong_replies", "outdated", "undeleted", "strange")
    return {name: getattr(verdict, name) for name in names if getattr(verdict, name)}


def test_a_copy_with_the_same_fields_is_not_altered(scene: Scene) -> None:
    scene.post("one", entities=[BOLD], media=file(scene))
    scene.copy("one", entities=[types.MessageEntityBold(0, 3)], media=file(scene))
    assert figures(scene.judge()) == {}


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"entities": []}, ["entities"]),
        ({"entities": [types.MessageEntityItalic(0, 3)]}, ["entities"]),
        ({"entities": [BOLD, types.MessageEntityItalic(0, 1)]}, ["entities"]),
    ],
)
def test_other_entities_alter_a_copy(
    scene: Scene, fields: dict[str, Any], named: list[str]
) -> None:
    scene.post("one", entities=[BOLD])
    scene.copy("one", **fields)
    verdict = scene.judge()
    assert figures(verdict) == {"altered": 1} and not verdict.is_clean
    assert [it["fields"] for it in scene.ledger.altered()] == [named]


def test_the_order_of_entities_does_not_matter(scene: Scene) -> None:
    italic = types.MessageEntityItalic(0, 1)
    scene.post("one", entities=[BOLD, italic])
    scene.copy("one", entities=[italic, BOLD])
    assert scene.judge().is_clean


@pytest.mark.parametrize("data", [b"other", b""])
def test_other_media_or_none_alter_a_copy(scene: Scene, data: bytes) -> None:
    scene.post("one", media=file(scene))
    scene.copy("one", media=file(scene, data) if data else None)
    assert figures(scene.judge()) == {"altered": 1}


def test_media_without_a_text_are_recognised_by_what_they_are(scene: Scene) -> None:
    scene.post("", media=file(scene, b"first"))
    scene.post("", media=file(scene, b"second"))
    scene.copy("", media=file(scene, b"first"))
    assert figures(scene.judge()) == {"lost": 1}
    scene.copy("", media=file(scene, b"second"))
    assert scene.judge().is_clean


def test_a_forward_that_says_something_else_is_altered_and_not_lost(scene: Scene) -> None:
    origin = scene.post("one")
    scene.copy("two", copied_from=(scene.source.marked, origin.id))
    assert figures(scene.judge()) == {"altered": 1}


def test_equal_texts_need_as_many_copies(scene: Scene) -> None:
    for _ in range(3):
        scene.post("same")
    for left in (2, 1, 0):
        scene.copy("same")
        assert scene.judge().lost == left
    scene.copy("same")
    assert figures(scene.judge()) == {"duplicated": 1}


def test_what_is_no_copy_is_strange_and_one_of_another_route_is_not(scene: Scene) -> None:
    other = scene.world.add_channel("other source", members=[scene.account])
    scene.ledger.expect(other.marked, scene.to.marked, scene.account)
    scene.world.post(other, 0, "from there")
    scene.copy("from there")
    assert figures(scene.judge()) == {}
    scene.copy("of its own")
    verdict = scene.judge()
    assert figures(verdict) == {"strange": 1} and verdict.is_clean


def test_a_copy_of_what_was_posted_before_the_promise_is_not_strange(scene: Scene) -> None:
    scene.ledger.routes.clear()
    scene.post("old")
    scene.expect()
    scene.copy("old")
    assert figures(scene.judge()) == {}


def test_service_messages_are_not_promised(scene: Scene) -> None:
    scene.post("", action=types.MessageActionPinMessage())
    assert scene.judge().expected == 0


# --- replies -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply_to", "wrong"),
    [(1, {}), (2, {"wrong_replies": 1}), (None, {"wrong_replies": 1})],
    ids=["to the copy", "to another message", "to none"],
)
def test_a_copy_replies_to_the_copy(
    scene: Scene, reply_to: int | None, wrong: dict[str, int]
) -> None:
    scene.post("before")
    target = scene.post("question")
    scene.post("answer", reply_to=target.id)
    scene.copy("question")
    scene.copy("before")
    scene.copy("answer", reply_to=reply_to)
    verdict = scene.judge()
    assert figures(verdict) == wrong
    assert verdict.out_of_order == 1


def test_a_reply_to_what_has_no_copy_replies_to_nothing_in_particular(scene: Scene) -> None:
    scene.ledger.routes.clear()
    old = scene.post("old")
    scene.expect()
    scene.post("answer", reply_to=old.id)
    scene.copy("answer")
    assert scene.judge().is_clean


def test_a_reply_where_the_source_has_none_is_wrong(scene: Scene) -> None:
    scene.post("one")
    scene.post("two")
    scene.copy("one")
    scene.copy("two", reply_to=1)
    assert figures(scene.judge()) == {"wrong_replies": 1}


def test_a_forward_that_names_its_author_needs_no_reply(scene: Scene) -> None:
    scene.post("one")
    scene.post("two", reply_to=1)
    for number, text in ((1, "one"), (2, "two")):
        scene.copy(text, forwarded=(scene.source.marked, number, 0))
    assert scene.judge().is_clean


# --- edits and deletes ---------------------------------------------------------------------


def test_a_copy_of_what_was_edited_later_is_outdated_and_not_altered(scene: Scene) -> None:
    origin = scene.post("one")
    copy = scene.copy("one")
    scene.world.edit(scene.source.box, origin, "one, mended", [])
    verdict = scene.judge()
    assert figures(verdict) == {"outdated": 1} and verdict.is_clean
    scene.world.edit(scene.to.box, copy, "one, mended", [])
    assert figures(scene.judge()) == {}


def test_a_copy_of_what_was_edited_before_is_the_same(scene: Scene) -> None:
    origin = scene.post("one")
    scene.world.edit(scene.source.box, origin, "one, mended", [])
    scene.copy("one, mended")
    assert figures(scene.judge()) == {}


def test_a_copy_that_is_edited_to_something_else_is_altered(scene: Scene) -> None:
    scene.post("one")
    scene.world.edit(scene.to.box, scene.copy("one"), "two", [])
    assert figures(scene.judge()) == {"altered": 1}


def test_what_is_deleted_before_it_is_copied_is_not_lost(scene: Scene) -> None:
    origin = scene.post("one")
    scene.world.delete(scene.source.box, [origin.id])
    verdict = scene.judge()
    assert figures(verdict) == {} and verdict.expected == 0


def test_a_copy_of_what_was_deleted_later_is_undeleted_until_it_is_deleted_too(
    scene: Scene,
) -> None:
    origin = scene.post("one")
    copy = scene.copy("one")
    scene.world.delete(scene.source.box, [origin.id])
    verdict = scene.judge()
    assert figures(verdict) == {"undeleted": 1} and verdict.is_clean
    scene.world.delete(scene.to.box, [copy.id], by=scene.account)
    assert figures(scene.judge()) == {}


@pytest.mark.parametrize("by_forwarder", [True, False])
def test_a_copy_that_its_forwarder_deletes_is_lost(scene: Scene, by_forwarder: bool) -> None:
    scene.post("one")
    copy = scene.copy("one")
    scene.world.delete(scene.to.box, [copy.id], by=scene.account if by_forwarder else 7)
    assert figures(scene.judge()) == ({"lost": 1} if by_forwarder else {})


def test_a_second_copy_counts_although_it_is_deleted(scene: Scene) -> None:
    scene.post("one")
    scene.copy("one")
    second = scene.copy("one")
    scene.world.delete(scene.to.box, [second.id], by=scene.account)
    assert figures(scene.judge()) == {"duplicated": 1}


def test_the_ledger_records_who_edited_and_deleted_what() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        world = sandbox.server.world
        account, friend = world.add_account(), world.add_account()
        channel = sandbox.channel(posters=(account,))
        group = world.add_group("group", account.id, [friend.id])
        client = await sandbox.client(sandbox.login(account))
        await client.get_dialogs()
        sent = await client.send_message(channel.marked, "first")
        await client.edit_message(channel.marked, sent.id, "second")
        await client.edit_message(channel.marked, sent.id, "third")
        private = await client.send_message(group.marked, "private")
        await client.delete_messages(group.marked, private.id, revoke=True)
        changes = sandbox.server.ledger.changes()
        told = [(it["kind"], it["by"], it["chat"], it["before"], it["after"]) for it in changes]
        of_channel = ("edit", account.id, channel.marked)
        assert told == [
            (*of_channel, "first", "second"),
            (*of_channel, "second", "third"),
            ("delete", account.id, group.marked, "private", None),
            ("delete", account.id, group.marked, "private", None),
        ]
        assert changes[0]["at"] <= changes[-1]["at"]
        assert sandbox.server.ledger.changes(after=3) == changes[3:]

    run_scenario(scenario)


@pytest.mark.parametrize("drop_author", [False, True])
def test_forwards_of_real_clients_are_judged_by_what_they_took(drop_author: bool) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        world = sandbox.server.world
        account = world.add_account()
        source, to = sandbox.channel(account), sandbox.channel(posters=(account,))
        sandbox.server.ledger.expect(source.marked, to.marked, account.id)
        for number in range(2):
            world.post(source, 0, "same", entities=[BOLD], media=world.files.add(bytes([number])))
        client = await sandbox.client(sandbox.login(account))
        request = forward(account, source, to, [1, 2], [11, 12])
        request.drop_author = drop_author
        await raw(client, request)
        assert figures(sandbox.server.ledger.judge()) == {}
        peer = input_peer(account, to)
        await raw(client, functions.messages.EditMessageRequest(peer, 2, message="other"))
        assert figures(sandbox.server.ledger.judge()) == {"altered": 1}

    run_scenario(scenario)
