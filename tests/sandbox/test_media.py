"""Files, albums, and references that expire (api/files, api/file-references)."""

from __future__ import annotations

import io
from typing import Any

import pytest
from support.raw import forward, input_peer, message_ids, messages_of, raw
from support.sandbox import SandboxHarness, run_scenario
from telethon import TelegramClient, errors
from telethon.tl import functions, types

from afx.sandbox.telegram.peers import Account, Channel

NOTES = b"some notes" * 3000


async def poster(sandbox: SandboxHarness) -> tuple[TelegramClient, Account, Channel]:
    account = sandbox.server.world.add_account()
    channel = sandbox.channel(posters=(account,))
    client = await sandbox.client(sandbox.login(account))
    await client.get_dialogs()
    return client, account, channel


def named(file: Any) -> Any:
    view = file.view().document
    return types.InputDocument(view.id, view.access_hash, view.file_reference)


def album(sandbox: SandboxHarness, account: Account, channel: Channel) -> Any:
    """Return a request that sends two stored documents together."""
    files = [sandbox.server.world.files.add(bytes([it]), mime_type="a/b") for it in (1, 2)]
    items = [
        types.InputSingleMedia(types.InputMediaDocument(named(it)), f"caption {n}", random_id=n)
        for n, it in enumerate(files, 1)
    ]
    return functions.messages.SendMultiMediaRequest(input_peer(account, channel), items)


def test_a_file_is_sent_and_downloaded_unchanged() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        client, _account, channel = await poster(sandbox)
        file = io.BytesIO(NOTES)
        file.name = "notes.txt"
        sent = await client.send_file(channel.marked, file, caption="**my** notes")
        assert (sent.raw_text, sent.file.name, sent.file.size) == (
            "my notes",
            "notes.txt",
            len(NOTES),
        )
        assert await client.download_media(sent, bytes) == NOTES

    run_scenario(scenario)


def test_an_album_has_one_id_for_each_message_and_is_not_sent_twice() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        client, account, channel = await poster(sandbox)
        request = album(sandbox, account, channel)
        answers = [await raw(client, request) for _ in range(2)]
        assert [message_ids(it.updates) for it in answers] == [[(1, 1), (2, 2)]] * 2
        one, two = channel.box.messages.values()
        assert one.grouped == two.grouped is not None
        assert (one.media.data, two.media.data) == (b"\x01", b"\x02")

    run_scenario(scenario)


def test_a_forward_takes_the_media_and_the_album_along() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        client, account, channel = await poster(sandbox)
        to = sandbox.channel(posters=(account,))
        await raw(client, album(sandbox, account, channel))
        await raw(client, forward(account, channel, to, [1, 2], [11, 12]))
        one, two = to.box.messages.values()
        assert (one.media.data, two.media.data) == (b"\x01", b"\x02")
        assert one.grouped == two.grouped
        assert one.grouped != channel.box.messages[1].grouped

    run_scenario(scenario)


def test_a_reference_expires_and_is_got_again_with_its_message() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        client, account, channel = await poster(sandbox)
        file = sandbox.server.world.files.add(b"data", mime_type="a/b")
        sandbox.server.world.post(channel, 0, "", media=file)
        old = named(file)
        sandbox.server.world.files.expire()
        peer = input_peer(account, channel)
        with pytest.raises(errors.FileReferenceExpiredError):
            await raw(
                client,
                functions.messages.SendMediaRequest(
                    peer, types.InputMediaDocument(old), "", random_id=1
                ),
            )
        page = await raw(client, messages_of(account, channel, [1]))
        document = page.messages[0].media.document
        new = types.InputDocument(document.id, document.access_hash, document.file_reference)
        again = functions.messages.SendMediaRequest(
            peer, types.InputMediaDocument(new), "", random_id=1
        )
        assert message_ids((await raw(client, again)).updates) == [(1, 2)]

    run_scenario(scenario)


@pytest.mark.parametrize(
    ("parts", "md5", "refusal"),
    [
        (2, "", errors.FilePartMissingError),
        (0, "", errors.FilePartsInvalidError),
        (1, "0" * 32, errors.Md5ChecksumInvalidError),
    ],
)
def test_an_incomplete_upload_is_refused(parts: int, md5: str, refusal: type[Exception]) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        client, account, channel = await poster(sandbox)
        await raw(client, functions.upload.SaveFilePartRequest(7, 0, b"data"))
        uploaded = types.InputMediaUploadedDocument(
            types.InputFile(7, parts, "name", md5), "a/b", []
        )
        with pytest.raises(refusal):
            await raw(
                client,
                functions.messages.SendMediaRequest(
                    input_peer(account, channel), uploaded, "", random_id=1
                ),
            )

    run_scenario(scenario)
