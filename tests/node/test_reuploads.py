"""Files of chats that forbid to save them are downloaded and uploaded anew (``protected``)."""

from __future__ import annotations

import pytest
from support.reuploads import (
    MIB,
    PART,
    REUPLOAD,
    SMALL,
    VIDEO,
    copies,
    document,
    photo,
    protected,
    publish,
)
from support.sandbox import SandboxHarness, run_scenario, until
from support.sessions import RefusingHandler, one_rule, say, texts
from telethon.tl import types

from afx.sandbox.judge.flow import edit
from afx.sandbox.telegram.changes import Place
from afx.sandbox.telegram.methods.input_media import Fixed
from afx.sandbox.telegram.polls import Poll
from afx.sandbox.telegram.uploads import Digests


def test_a_file_arrives_with_all_that_it_is_shown_by() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = protected(sandbox)
        session = harness.session(account, (source, to, "copy", REUPLOAD))
        await session.start()
        files = sandbox.server.world.files
        posted = [
            photo(sandbox).covered(True),
            files.add(b"film", mime_type="video/mp4", attributes=[VIDEO], thumb=b"small"),
            files.add(
                b"round",
                mime_type="video/mp4",
                attributes=[types.DocumentAttributeVideo(2.0, 240, 240, round_message=True)],
            ),
            files.add(
                b"moving",
                mime_type="video/mp4",
                attributes=[VIDEO, types.DocumentAttributeAnimated()],
            ),
            files.add(
                b"air",
                mime_type="audio/ogg",
                attributes=[types.DocumentAttributeAudio(3, voice=True, waveform=b"wave")],
            ),
            document(sandbox, 5 * MIB + 3),
        ]
        bold = [types.MessageEntityBold(0, 4)]
        for number, it in enumerate(posted):
            publish(sandbox, source, f"file {number}", it, entities=bold, silent=number == 0)
        say(sandbox, source, "a text")
        await until(lambda: len(texts(to)) == 7)
        assert texts(to) == [*(f"file {it}" for it in range(6)), "a text"]
        for one, copy in zip(posted[:5], copies(to), strict=False):
            assert copy is not one and copy.key == one.key
        last = copies(to)[5]
        assert last.data == posted[5].data[0 : 5 * MIB + 3]
        assert list(map(bytes, last.attributes)) == list(map(bytes, posted[5].attributes))
        first = to.box.messages[1]
        assert (first.entities, first.silent, first.forwarded) == (bold, True, None)
        assert not harness.troubles and not harness.dead
        await session.stop()

    run_scenario(scenario)


@pytest.mark.parametrize("is_of_chat", [True, False])
def test_an_album_is_uploaded_as_a_whole_and_sent_as_one(is_of_chat: bool) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        source.noforwards = is_of_chat
        session = harness.session(account, (source, to, "copy", REUPLOAD))
        await session.start()
        publish(sandbox, source, "free", photo(sandbox, b"free"))
        for number in range(3):
            its = photo(sandbox, bytes([number]))
            publish(sandbox, source, f"{number}", its, grouped=5, noforwards=not is_of_chat)
        say(sandbox, source, "last")
        await until(lambda: texts(to)[-1:] == ["last"])
        assert texts(to) == ["free", "0", "1", "2", "last"]
        album = [it for it in to.box.messages.values() if it.grouped]
        assert [it.media.data for it in album] == [b"\0", b"\1", b"\2"]
        assert len({it.grouped for it in album}) == 1
        assert (copies(to)[0] is source.box.messages[1].media) is not is_of_chat
        assert not harness.troubles and not harness.dead
        await session.stop()

    run_scenario(scenario)


def test_a_large_file_passes_in_parts_while_other_lanes_go_on() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = protected(sandbox)
        other, beside = sandbox.channel(account), sandbox.channel(posters=(account,))
        session = harness.session(account, (source, to, "copy", REUPLOAD), (other, beside, "copy"))
        await session.start()
        film = document(sandbox, 70 * MIB + 5, thumb=b"small")
        publish(sandbox, source, "a film", film)
        sent = 0
        while not texts(to):
            say(sandbox, other, f"{sent}")
            sent += 1
            await until(lambda: len(texts(beside)) == sent)  # noqa: B023
        assert sent > 10
        [copy] = copies(to)
        assert isinstance(copy.data, Digests) and copy.data.is_of(film.data)
        assert copy.thumb == b"small"
        await session.stop()

    run_scenario(scenario)


def test_a_file_that_goes_to_several_chats_is_transferred_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    saved = RefusingHandler(monkeypatch, SMALL)

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = protected(sandbox)
        others = tuple(sandbox.channel(posters=(account,)) for _ in range(4))
        session = harness.session(account, (source, (to, *others), "copy", REUPLOAD))
        await session.start()
        publish(sandbox, source, "", document(sandbox, 4 * PART))
        await until(lambda: all(copies(it) for it in (to, *others)))
        assert len(saved.requests) == 4
        await session.stop()

    run_scenario(scenario)


def test_an_edit_uploads_a_new_file_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    saved = RefusingHandler(monkeypatch, SMALL)

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = protected(sandbox)
        rule = (source, to, "copy", {"sync": ("edits",), **REUPLOAD})
        session = harness.session(account, rule)
        await session.start()
        number = publish(sandbox, source, "one", photo(sandbox))
        await until(lambda: texts(to) == ["one"])
        edit(sandbox.server, source.marked, 0, number, "two")
        await until(lambda: texts(to) == ["two"])
        assert len(saved.requests) == 1
        harness.links.store(session.collect_uncommitted().links)
        session.note_committed()
        place = Place(sandbox.server.world, sandbox.server.pushes, source, 0)
        message = source.box.messages[number]
        new = message.content._replace(text="three", media=photo(sandbox, b"new"))
        place.edit(message, new)
        await until(lambda: texts(to) == ["three"])
        assert copies(to)[0].data == b"new"
        assert len(saved.requests) == 2
        await session.stop()
        # A later run does not know which file the copy has.
        later = harness.session(account, rule, cursors=harness.commit(session))
        await later.start()
        edit(sandbox.server, source.marked, 0, number, "four")
        await until(lambda: texts(to) == ["four"])
        assert copies(to)[0].data == b"new"
        assert not harness.dead and not harness.troubles
        await later.stop()

    run_scenario(scenario)


def test_what_has_no_file_is_made_anew_and_what_cannot_be_is_a_dead_letter() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = protected(sandbox)
        session = harness.session(account, (source, to, "copy", REUPLOAD))
        await session.start()
        point = types.GeoPoint(13.4, 52.5, 0)
        fixed = [
            types.MessageMediaContact("4930", "Ada", "Lovelace", "", 0),
            types.MessageMediaGeo(point),
            types.MessageMediaGeoLive(point, 900, heading=90),
            types.MessageMediaVenue(point, "Café", "Street 1", "", "", ""),
        ]
        words = [types.TextWithEntities(it, []) for it in ("Which?", "tea", "coffee")]
        answers = [types.PollAnswer(it, bytes([n])) for n, it in enumerate(words[1:])]
        polls = [Poll(words[0], answers), Poll(words[0], answers, quiz=True)]
        for it in [*map(Fixed, fixed), *polls, Fixed(types.MessageMediaDice(6, "🎲"))]:
            publish(sandbox, source, "", it)
        say(sandbox, source, "last")
        await until(lambda: texts(to)[-1:] == ["last"])
        made = copies(to)
        assert [bytes(it.view()) for it in made[:4]] == list(map(bytes, fixed))
        assert made[4].key == polls[0].key and made[4] is not polls[0]
        assert len(made) == 6
        await until(lambda: harness.commit(session) and len(harness.dead) == 2)
        assert [it.error for it in harness.dead] == [
            "Telegram does not tell the right answer of its quiz",
            "a throw of dice cannot be repeated",
        ]
        await session.stop()

    run_scenario(scenario)


def test_a_dead_letter_is_uploaded_once_its_rule_says_so() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = protected(sandbox)
        before = harness.session(account, (source, to, "copy"))
        await before.start()
        number = publish(sandbox, source, "a photo", photo(sandbox))
        await until(lambda: harness.commit(before) and harness.dead)
        await before.stop()
        session = harness.session(
            account, (source, to, "copy", REUPLOAD), cursors=harness.commit(before)
        )
        await session.start()
        await session.redeliver(1, source.marked, to.marked, [number])
        await until(lambda: texts(to) == ["a photo"])
        assert copies(to)[0].data == b"photo"
        await session.stop()

    run_scenario(scenario)
