"""What transforms change of files and albums is sent with them by reference."""

from __future__ import annotations

import pytest
from support.footers import FOOTER, photo, publish
from support.sandbox import SandboxHarness, run_scenario, until
from support.sessions import RefusingHandler, one_rule, texts
from telethon.tl import functions, types

from afx.sandbox.telegram.boxes import Content


def test_a_changed_caption_is_sent_with_its_file_by_reference() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        files = sandbox.server.world.files
        clip = files.add(
            b"clip", mime_type="video/mp4", attributes=[types.DocumentAttributeVideo(1.0, 2, 2)]
        )
        sticker = files.add(
            b"sticker",
            mime_type="image/webp",
            attributes=[types.DocumentAttributeSticker("", types.InputStickerSetEmpty())],
        )

        def expected(it: Content) -> Content:
            return it if it.media is sticker else it._replace(text=f"{it.text}!".strip())

        sandbox.server.ledger.expect(source.marked, to.marked, account.id, expected)
        rule = {"transform": ({"text": "{text}!"},)}
        session = harness.session(account, (source, to, "copy", rule))
        await session.start()
        bold = [types.MessageEntityBold(0, 4)]
        publish(sandbox, source, "a text")
        publish(sandbox, source, "a photo", media=photo(sandbox), entities=bold)
        publish(sandbox, source, "a clip", media=clip)
        publish(sandbox, source, "", media=photo(sandbox, b"another"))
        publish(sandbox, source, "", media=sticker)
        await until(lambda: len(texts(to)) == 5)
        verdict = sandbox.server.ledger.judge()
        assert verdict.is_clean and verdict.strange == 0, sandbox.server.ledger.altered()
        assert all(it.forwarded is None for it in to.box.messages.values())
        await session.stop()

    run_scenario(scenario)


def test_a_caption_that_no_transform_changes_is_forwarded_without_its_author() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        rule = {"transform": ({"strip": ["links"]},)}
        session = harness.session(account, (source, to, "copy", rule))
        await session.start()
        publish(sandbox, source, "a photo", media=photo(sandbox))
        await until(lambda: texts(to) == ["a photo"])
        [copy] = to.box.messages.values()
        assert copy.copied_from and copy.forwarded is None
        await session.stop()

    run_scenario(scenario)


def test_an_album_stays_together_and_only_its_caption_is_changed() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy", FOOTER))
        await session.start()
        session.pause()
        first = publish(sandbox, source, "album", media=photo(sandbox, b"0"), grouped=5)
        for number in (1, 2):
            publish(sandbox, source, "", media=photo(sandbox, bytes([number])), grouped=5)
        publish(sandbox, source, "", media=photo(sandbox, b"x"), grouped=6)
        session.resume()
        await until(lambda: len(texts(to)) == 4)
        copies = list(to.box.messages.values())
        assert [it.text for it in copies] == [f"album\nby {first}", "", "", ""]
        albums = [it.grouped for it in copies]
        assert albums[0] is not None and albums[:3] == [albums[0]] * 3
        assert albums[3] != albums[0]
        await session.stop()

    run_scenario(scenario)


def test_a_file_whose_reference_has_expired_is_fetched_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        handler = RefusingHandler(
            monkeypatch, functions.messages.SendMediaRequest, (400, "FILE_REFERENCE_EXPIRED")
        )
        session = harness.session(account, (source, to, "copy", FOOTER))
        await session.start()
        number = publish(sandbox, source, "a photo", media=photo(sandbox))
        await until(lambda: len(texts(to)) == 1)
        assert texts(to) == [f"a photo\nby {number}"]
        assert len(handler.requests) == 2
        assert len({it.random_id for it in handler.requests}) == 1
        await session.stop()

    run_scenario(scenario)
