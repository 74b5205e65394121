"""Sign-in of an unmodified Telethon: key exchange, codes, refusals."""

from __future__ import annotations

import pytest
from support.sandbox import SandboxHarness, run_scenario
from telethon import errors
from telethon.network import (
    ConnectionTcpAbridged,
    ConnectionTcpFull,
    ConnectionTcpIntermediate,
)
from telethon.tl import functions


@pytest.mark.parametrize(
    "transport", [ConnectionTcpFull, ConnectionTcpAbridged, ConnectionTcpIntermediate]
)
def test_a_client_exchanges_keys_and_signs_in_by_code(transport: type) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        client = await sandbox.client(connection=transport)
        await client.send_code_request("99966123")
        me = await client.sign_in("99966123", sandbox.server.sign_ins.code("99966123"))
        assert (await client.get_me()).id == me.id

    run_scenario(scenario)


def test_a_wrong_code_is_refused() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        client = await sandbox.client()
        await client.send_code_request("99966123")
        wrong = f"{(int(sandbox.server.sign_ins.code('99966123')) + 1) % 100_000:05d}"
        with pytest.raises(errors.PhoneCodeInvalidError):
            await client.sign_in("99966123", wrong)

    run_scenario(scenario)


def test_without_a_login_only_login_methods_are_answered() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        client = await sandbox.client()
        with pytest.raises(errors.AuthKeyUnregisteredError):
            await client(functions.updates.GetStateRequest())

    run_scenario(scenario)
