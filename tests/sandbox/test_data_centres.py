"""Two data centres: where accounts sign in, and where files lie (api/datacenter)."""

from __future__ import annotations

import pytest
from support.raw import raw
from support.sandbox import SandboxHarness, run_scenario
from telethon import errors
from telethon.tl import functions, types


def test_a_phone_of_another_data_centre_signs_in_there() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        account = sandbox.server.world.add_account("99966123")
        account.data_centre = 4
        client = await sandbox.client()
        await client.send_code_request("99966123")
        await client.sign_in("99966123", sandbox.server.sign_ins.code("99966123"))
        assert client.session.dc_id == 4
        assert client.session.port == sandbox.server.second_port
        assert (await client.get_me()).id == account.id

    run_scenario(scenario)


def test_a_file_of_another_data_centre_is_downloaded_there() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        account = sandbox.server.world.add_account()
        channel = sandbox.channel(account)
        file = sandbox.server.world.files.add(b"far away", mime_type="a/b")
        file.data_centre = 4
        sandbox.server.world.post(channel, 0, "", media=file)
        client = await sandbox.client(sandbox.login(account))
        await client.get_dialogs()
        [message] = await client.get_messages(channel.marked, 1)
        document = message.media.document
        location = types.InputDocumentFileLocation(
            document.id, document.access_hash, document.file_reference, ""
        )
        with pytest.raises(errors.FileMigrateError):
            await raw(client, functions.upload.GetFileRequest(location, 0, 4096))
        assert await client.download_media(message, bytes) == b"far away"
        assert not sandbox.server.connections.overlaps

    run_scenario(scenario)


def test_what_was_exported_signs_in_once() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        account = sandbox.server.world.add_account()
        client = await sandbox.client(sandbox.login(account))
        exported = await client(functions.auth.ExportAuthorizationRequest(4))
        other = await sandbox.client()
        request = functions.auth.ImportAuthorizationRequest(exported.id, exported.bytes)
        await other(request)
        assert (await other.get_me()).id == account.id
        with pytest.raises(errors.AuthBytesInvalidError):
            await other(request)

    run_scenario(scenario)


def test_an_account_that_has_moved_is_answered_by_its_own_data_centre_alone() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        account = sandbox.server.world.add_account()
        client = await sandbox.client(sandbox.login(account))
        account.data_centre = 4
        with pytest.raises(errors.UserMigrateError) as refused:
            await raw(client, functions.updates.GetStateRequest())
        assert refused.value.new_dc == 4
        assert (await raw(client, functions.auth.ExportAuthorizationRequest(4))).id == account.id
        assert (await raw(client, functions.help.GetConfigRequest())).this_dc == 2

    run_scenario(scenario)
