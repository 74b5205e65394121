"""Parts of uploads, pieces of downloads, and what may not be saved (api/files)."""

from __future__ import annotations

from typing import Any

import pytest
from support.raw import input_peer, messages_of, raw
from support.sandbox import SandboxHarness, run_scenario
from telethon import errors
from telethon.tl import functions, types

from afx.sandbox.errors import RpcError
from afx.sandbox.telegram.files import File
from afx.sandbox.telegram.uploads import Digests, Formula, Uploads

KIB = 1024
SMALL = functions.upload.SaveFilePartRequest
BIG = functions.upload.SaveBigFilePartRequest
_File = types.InputFile
_BigFile = types.InputFileBig


@pytest.mark.parametrize(
    ("parts", "file", "refusal"),
    [
        ([SMALL(7, 4000, b"a")], None, "FILE_PART_INVALID"),
        ([SMALL(7, 0, b"")], None, "FILE_PART_EMPTY"),
        ([SMALL(7, 0, b"a" * 513 * KIB)], None, "FILE_PART_TOO_BIG"),
        ([BIG(7, 0, 2, b"a" * 3 * KIB)], None, "FILE_PART_SIZE_INVALID"),
        ([BIG(7, 0, 3, b"a" * KIB), BIG(7, 1, 3, b"a" * 2 * KIB)], None, "FILE_PART_SIZE_CHANGED"),
        ([BIG(7, 2, 2, b"a")], None, "FILE_PARTS_INVALID"),
        ([BIG(7, 0, 4001, b"a")], None, "FILE_PARTS_INVALID"),
        ([BIG(7, 0, 2, b"a" * KIB), BIG(7, 1, 3, b"a")], None, "FILE_PARTS_INVALID"),
        ([SMALL(7, 0, b"a")], _BigFile(7, 1, "n"), "FILE_PARTS_INVALID"),
        ([BIG(7, 0, 1, b"a")], _File(7, 1, "n", ""), "FILE_PARTS_INVALID"),
        ([SMALL(7, 0, b"ab"), SMALL(7, 1, b"a")], _File(7, 2, "n", ""), "FILE_PART_SIZE_INVALID"),
        ([SMALL(7, 0, b"a" * KIB)], _File(7, 2, "n", ""), "FILE_PART_1_MISSING"),
        (
            [SMALL(7, it, b"a" * 512 * KIB) for it in range(21)],
            _File(7, 21, "n", ""),
            "FILE_PARTS_INVALID",
        ),
    ],
    ids=lambda it: it if isinstance(it, str) else "",
)
def test_parts_that_telegram_does_not_take_are_refused(
    parts: list[Any], file: Any, refusal: str
) -> None:
    uploads = Uploads()
    with pytest.raises(RpcError) as error:
        for it in parts:
            uploads.save(1, it, 4000)
        if file is not None:
            uploads.assemble(1, file, 4000)
    assert refusal in str(error.value)


def test_a_premium_account_uploads_twice_as_many_parts() -> None:
    uploads = Uploads()
    uploads.save(1, BIG(7, 7999, 8000, b"a"), 8000)


def test_a_formula_has_the_same_bytes_in_whichever_pieces_they_are_read() -> None:
    file = Formula(5, 300_001)
    whole = file[0:300_001]
    assert len(whole) == len(file) == 300_001
    assert b"".join(file[it : it + 4096] for it in range(0, 300_001, 4096)) == whole
    assert file[1000:1100] == whole[1000:1100]
    assert whole != Formula(6, 300_001)[0:300_001]
    assert whole[:KIB] != whole[KIB : 2 * KIB]
    assert file[300_001:400_000] == b""


def test_of_a_large_upload_digests_are_kept() -> None:
    file, uploads, part = Formula(5, 65 * KIB * KIB + 10), Uploads(), 512 * KIB
    count = -(-len(file) // part)
    for it in range(count):
        uploads.save(1, BIG(7, it, count, file[it * part : (it + 1) * part]), 4000)
    kept = uploads.assemble(1, _BigFile(7, count, "n"), 4000)
    assert isinstance(kept, Digests) and kept.is_of(file)
    assert not kept.is_of(Formula(6, len(file)))


@pytest.mark.parametrize(
    ("offset", "limit", "precise", "refusal"),
    [
        (0, 5000, False, errors.LimitInvalidError),
        (0, 12 * KIB, False, errors.LimitInvalidError),
        (0, 2048 * KIB, True, errors.LimitInvalidError),
        (100, 4096, False, errors.OffsetInvalidError),
        (768 * KIB, 512 * KIB, False, errors.OffsetInvalidError),
        (1000 * KIB, 48 * KIB, True, errors.OffsetInvalidError),
    ],
)
def test_pieces_that_telegram_does_not_give_are_refused(
    offset: int, limit: int, precise: bool, refusal: type[Exception]
) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        account = sandbox.server.world.add_account()
        client = await sandbox.client(sandbox.login(account))
        document = sandbox.server.world.files.add(Formula(1, 2048 * KIB)).view().document
        place = types.InputDocumentFileLocation(
            document.id, document.access_hash, document.file_reference, ""
        )
        with pytest.raises(refusal):
            await raw(
                client, functions.upload.GetFileRequest(place, offset, limit, precise=precise)
            )
        piece = functions.upload.GetFileRequest(place, 1020 * KIB, 4 * KIB)
        assert len((await raw(client, piece)).bytes) == 4 * KIB

    run_scenario(scenario)


@pytest.mark.parametrize("is_of_chat", [True, False])
def test_what_may_not_be_saved_is_downloaded_and_not_sent_by_reference(is_of_chat: bool) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        account = sandbox.server.world.add_account()
        source, to = sandbox.channel(account), sandbox.channel(posters=(account,))
        client = await sandbox.client(sandbox.login(account))
        file = sandbox.server.world.files.add(b"data", mime_type="a/b", thumb=b"small")
        source.noforwards = is_of_chat
        sandbox.server.world.post(source, 0, "", media=file, noforwards=not is_of_chat)
        document = (await raw(client, messages_of(account, source, [1]))).messages[0].media.document
        named = types.InputDocument(document.id, document.access_hash, document.file_reference)
        media = types.InputMediaDocument(named)
        send = functions.messages.SendMediaRequest(input_peer(account, to), media, "", random_id=1)
        with pytest.raises(errors.ChatForwardsRestrictedError):
            await raw(client, send)
        assert await _read(client, document, "") == b"data"
        assert await _read(client, document, document.thumbs[0].type) == b"small"

    run_scenario(scenario)


async def _read(client: Any, document: Any, thumb: str) -> bytes:
    place = types.InputDocumentFileLocation(
        document.id, document.access_hash, document.file_reference, thumb
    )
    data: bytes = (await raw(client, functions.upload.GetFileRequest(place, 0, 4096))).bytes
    return data


@pytest.mark.parametrize(("nosound", "is_animated"), [(None, True), (True, False)])
def test_a_video_without_sound_becomes_an_animation_unless_it_is_said_to_be_a_video(
    nosound: bool | None, is_animated: bool
) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        account = sandbox.server.world.add_account()
        to = sandbox.channel(posters=(account,))
        client = await sandbox.client(sandbox.login(account))
        await raw(client, SMALL(7, 0, b"film"))
        await raw(client, SMALL(8, 0, b"small"))
        uploaded = types.InputMediaUploadedDocument(
            _File(7, 1, "film.mp4", ""),
            "video/mp4",
            [types.DocumentAttributeVideo(2.0, 640, 480)],
            nosound_video=nosound,
            thumb=_File(8, 1, "t.jpg", ""),
        )
        await raw(
            client,
            functions.messages.SendMediaRequest(input_peer(account, to), uploaded, "", random_id=1),
        )
        media = to.box.messages[1].media
        assert isinstance(media, File) and media.thumb == b"small"
        kinds = set(map(type, media.attributes))
        assert (types.DocumentAttributeAnimated in kinds) is is_animated

    run_scenario(scenario)
