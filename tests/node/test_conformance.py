"""Each kind of message × mode × event, field by field, by one session in one sandbox."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from support.following import pin
from support.kinds import KINDS, Kind
from support.sandbox import SandboxHarness, running_sandbox, until
from support.sessions import SessionHarness
from telethon.tl import types

from afx.sandbox.judge.flow import delete, edit, post
from afx.sandbox.telegram import views
from afx.sandbox.telegram.boxes import Message
from afx.sandbox.telegram.changes import Place
from afx.sandbox.telegram.peers import Channel

PAGE = Path(__file__).parents[2] / "docs/forward.md"
MODES: dict[str, tuple[str, dict[str, Any]]] = {
    "copy": ("copy", {"sync": ("edits", "deletes", "pins")}),
    "changed": ("copy", {"sync": ("edits", "deletes", "pins"), "transform": ({"footer": "end"},)}),
    "forward": ("forward", {"sync": ("deletes", "pins")}),
}
ALBUM = ["first of an album", "", "third of it"]
OWN = {"id", "peer_id", "date", "out", "pinned", "reply_to", "fwd_from", "grouped_id", "edit_date"}
"""What a copy has of its own."""


@dataclass
class Posts:
    """What was posted of one kind: its messages' ids in the source."""

    new: int
    answered: int
    answer: int
    gone: int
    edited: int


@dataclass
class Matrix:
    """What came of all that was posted."""

    source: Channel
    to: dict[str, Channel]
    posts: dict[str, Posts] = field(default_factory=dict)
    anchor: int = 0
    album: list[int] = field(default_factory=list)
    service: int = 0
    copies: dict[tuple[int, str], int] = field(default_factory=dict)
    """(message, mode) → its copy."""
    troubles: list[str] = field(default_factory=list)

    def copy(self, message: int, mode: str) -> Message | None:
        return self.to[mode].box.messages.get(self.copies.get((message, mode), 0))


@pytest.fixture(scope="module")
def matrix() -> Matrix:
    async def main() -> Matrix:
        async with asyncio.timeout(120), running_sandbox() as sandbox:
            return await _fill(sandbox)

    return asyncio.run(main())


async def _fill(sandbox: SandboxHarness) -> Matrix:
    harness = SessionHarness(sandbox)
    account = sandbox.server.world.add_account()
    made = Matrix(
        sandbox.channel(account), {it: sandbox.channel(posters=(account,)) for it in MODES}
    )
    rules = [(made.source, made.to[it], mode, more) for it, (mode, more) in MODES.items()]
    session = harness.session(account, *rules)
    await session.start()

    async def settled() -> None:
        box = session.reader.channels[made.source.id]
        await until(lambda: box.cursor == made.source.box.pts)
        progress = session.collect_uncommitted()
        harness.links.store(progress.links)
        session.note_committed()
        modes = dict(enumerate(MODES, 1))
        for it in progress.links:
            made.copies[it.delivery.message, modes[it.delivery.rule]] = it.copy

    def say(text: str, **fields: Any) -> int:
        return post(sandbox.server, made.source.marked, 0, text, **fields)

    made.anchor = say("what is answered")
    for kind in KINDS:
        fields = dict(kind.fields)
        if kind.media:
            fields["media"] = kind.media(sandbox)
        new = say(kind.text, **fields)
        answered = say(kind.text, reply_to=made.anchor, **fields)
        made.posts[kind.name] = Posts(
            new, answered, say("an answer", reply_to=new), say(kind.text, **fields), 0
        )
        if kind.has_text or kind.moved:
            made.posts[kind.name].edited = say(kind.text, **fields)
    photos = [sandbox.server.world.files.add(it.encode(), is_photo=True) for it in "abc"]
    made.album = [say(it, media=photo, grouped=5) for it, photo in zip(ALBUM, photos, strict=True)]
    action = types.MessageActionChatEditTitle("new title")
    made.service = say("", action=action)
    say("last")
    await settled()
    place = Place(sandbox.server.world, sandbox.server.pushes, made.source, 0)
    for kind in KINDS:
        it = made.posts[kind.name]
        if kind.moved:
            message = made.source.box.messages[it.edited]
            place.edit(message, message.content._replace(media=kind.moved(sandbox)))
        elif it.edited:
            edit(sandbox.server, made.source.marked, 0, it.edited, "edited, with 👩‍👩‍👧")
        pin(sandbox, made.source, it.new)
        delete(sandbox.server, made.source.marked, 0, [it.gone])
    edit(sandbox.server, made.source.marked, 0, made.album[2], "an edited caption")
    delete(sandbox.server, made.source.marked, 0, [made.album[1]])
    await settled()
    made.troubles = harness.troubles
    await session.stop()
    return made


def _shown(message: Message, channel: Channel) -> dict[str, Any]:
    seen = views.message(message, channel).to_dict()
    seen["no_preview"] = message.no_preview
    return {name: it for name, it in seen.items() if name not in OWN}


def _wanted(message: Message, channel: Channel, kind: Kind, mode: str) -> dict[str, Any]:
    """Return what the copy of a message is to show."""
    wanted = _shown(message, channel)
    if kind.name.startswith("link"):
        # A preview is Telegram's: a copy lets it be made, or does not.
        is_hidden = kind.media is None and bool(message.entities)
        wanted["no_preview"] = message.no_preview if mode == "forward" else is_hidden
    if kind.name == "link with a preview" and mode != "forward":
        wanted["media"] = None
    if mode == "changed" and message.text:
        wanted["message"] = f"{message.text}\nend"
    return wanted


@pytest.mark.parametrize("mode", list(MODES))
@pytest.mark.parametrize("kind", KINDS, ids=lambda it: it.name)
def test_a_copy_is_as_its_message_and_follows_it(matrix: Matrix, kind: Kind, mode: str) -> None:
    posts, source, to = matrix.posts[kind.name], matrix.source, matrix.to[mode]
    new = matrix.copy(posts.new, mode)
    assert new is not None
    original = source.box.messages[posts.new]
    assert _shown(new, to) == _wanted(original, source, kind, mode)
    assert new.pinned, "pins are followed"
    origin = (source.marked, posts.new, original.date) if mode == "forward" else None
    assert new.forwarded == origin
    assert new.reply_to is None
    assert new.grouped is None
    assert matrix.copy(posts.gone, mode) is None, "deletes are followed"
    answered, anchor = matrix.copy(posts.answered, mode), matrix.copies[matrix.anchor, mode]
    assert answered is not None
    is_answer = mode != "forward" and kind.answers
    assert answered.reply_to == (anchor if is_answer else None)
    assert _shown(answered, to) == _wanted(source.box.messages[posts.answered], source, kind, mode)
    answer = matrix.copy(posts.answer, mode)
    assert answer is not None
    assert answer.reply_to == (new.id if mode != "forward" else None)
    if posts.edited:
        edited = matrix.copy(posts.edited, mode)
        assert edited is not None
        its = source.box.messages[posts.edited]
        if mode == "forward":
            assert edited.content == its.earlier[0]
        else:
            assert _shown(edited, to) == _wanted(its, source, kind, mode)


@pytest.mark.parametrize("mode", list(MODES))
def test_an_album_is_one_and_follows_its_items(matrix: Matrix, mode: str) -> None:
    first, gone, third = (matrix.copy(it, mode) for it in matrix.album)
    assert first is not None
    assert gone is None
    assert third is not None
    assert first.grouped == third.grouped
    assert first.grouped not in (None, 5)
    end = "\nend" if mode == "changed" else ""
    assert first.text == ALBUM[0] + end
    assert third.text == (ALBUM[2] if mode == "forward" else f"an edited caption{end}")
    for copy, message in ((first, matrix.album[0]), (third, matrix.album[2])):
        original = matrix.source.box.messages[message]
        assert copy.media is original.media
    assert matrix.copies[matrix.album[0], mode] < matrix.copies[matrix.album[2], mode]


@pytest.mark.parametrize("mode", list(MODES))
def test_service_messages_are_not_copied_and_nothing_is_in_trouble(
    matrix: Matrix, mode: str
) -> None:
    assert (matrix.service, mode) not in matrix.copies
    assert not matrix.troubles


def _row(kind: Kind) -> str:
    changes = "edits, deletes, pins" if kind.has_text or kind.moved else "deletes, pins"
    answers = "yes" if kind.answers else "no"
    transforms = "yes" if kind.has_text else "no"
    return f"| {kind.name} | {answers} | {transforms} | {changes} |"


def test_the_page_says_what_copies_keep() -> None:
    names = {"silent text", "covered photo", "photo below its caption"}
    rows = [_row(it) for it in KINDS if it.name not in names and "preview" not in it.name]
    assert "\n".join(rows) in PAGE.read_text()
