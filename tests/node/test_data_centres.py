"""Accounts and files of another data centre, and 303 while a session runs (api/datacenter)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from support.sandbox import SandboxHarness, run_scenario
from support.sessions import SessionHarness, one_rule, say, texts

from afx.sandbox.scripted import FaultKind, ScriptedFault
from afx.telegram.client import AccountClient
from afx.telegram.login import Server, sign_in

PHONE = "99966123"


async def until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not done():
            await asyncio.sleep(0.01)


def data_centres(sandbox: SandboxHarness, account: int) -> list[int]:
    return [it.data_centre for it in sandbox.server.connections.live.get(account, ())]


def test_an_account_of_another_data_centre_signs_in_and_forwards_there() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        server = sandbox.server
        account = server.world.add_account(PHONE)
        account.data_centre = 4

        async def ask(_question: str, _secret: bool) -> str:
            return server.sign_ins.code(PHONE)

        at = Server(server.host, server.port, server.rsa.public_pem.decode())
        signed = await sign_in(api_id=1, api_hash="x", ask=ask, phone=PHONE, server=at)
        sandbox.login = lambda *_: signed.login  # type: ignore[method-assign]
        source, to = sandbox.channel(account), sandbox.channel(posters=(account,))
        session = SessionHarness(sandbox).session(account, (source, to, "copy"))
        await session.start()
        say(sandbox, source, "one", "two")
        await until(lambda: texts(to) == ["one", "two"])
        assert data_centres(sandbox, account.id) == [4]
        await session.stop()

    run_scenario(scenario)


def test_an_account_that_has_moved_before_its_session_starts_is_followed() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        account.data_centre = 4
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        say(sandbox, source, "one", "two")
        await until(lambda: texts(to) == ["one", "two"])
        assert data_centres(sandbox, account.id) == [4]
        assert not harness.lost
        await session.stop()

    run_scenario(scenario)


def test_a_running_session_fetches_a_file_of_another_data_centre(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Telethon keeps the data centres for all clients; those of this sandbox are others.
    monkeypatch.setattr(AccountClient, "_config", None)

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        file = sandbox.server.world.files.add(b"far away", mime_type="a/b")
        file.data_centre = 4
        sandbox.server.world.post(source, 0, "", media=file)
        [message] = await session.client.get_messages(session.peers.input_peer(source.marked), 1)
        assert await session.client.download_media(message, bytes) == b"far away"
        say(sandbox, source, "afterwards")
        await until(lambda: texts(to)[-1:] == ["afterwards"])
        assert 2 in data_centres(sandbox, account.id)
        assert not sandbox.server.connections.overlaps
        await session.stop()
        await until(lambda: not len(sandbox.server.connections))

    run_scenario(scenario)


def test_a_running_session_follows_its_account_to_another_data_centre() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        say(sandbox, source, "before")
        await until(lambda: texts(to) == ["before"])
        account.data_centre = 4
        say(sandbox, source, "one", "two", "three")
        await until(lambda: len(texts(to)) == 4)
        say(sandbox, source, "after")
        await until(lambda: len(texts(to)) == 5)
        assert texts(to) == ["before", "one", "two", "three", "after"]
        assert data_centres(sandbox, account.id) == [4]
        assert not sandbox.server.connections.overlaps and not harness.lost
        await session.stop()

    run_scenario(scenario)


def test_a_session_that_cannot_sign_in_there_stays_with_its_key_where_it_was() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        refusals = [
            ScriptedFault(FaultKind.REFUSE, 303, "USER_MIGRATE_4", method="messages.sendMessage"),
            ScriptedFault(
                FaultKind.REFUSE, 400, "AUTH_BYTES_INVALID", method="auth.importAuthorization"
            ),
        ]
        for it in refusals:
            sandbox.server.faults.script.add(it)
        say(sandbox, source, "one", "two")
        await until(lambda: texts(to) == ["one", "two"])
        assert not sandbox.server.faults.script
        assert data_centres(sandbox, account.id) == [2]
        assert not harness.lost
        await session.stop()

    run_scenario(scenario)


@pytest.mark.parametrize("is_stored_refused", [False, True])
def test_a_new_key_that_is_refused_is_no_lost_login_unless_the_stored_one_is_refused_too(
    is_stored_refused: bool,
) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        account.data_centre = 4
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        say(sandbox, source, "one")
        await until(lambda: texts(to) == ["one"])
        assert data_centres(sandbox, account.id) == [4]
        if is_stored_refused:
            for it in sandbox.server.keys.values():
                it.revoked = True
        refused = ScriptedFault(
            FaultKind.REFUSE, 401, "AUTH_KEY_UNREGISTERED", method="messages.sendMessage"
        )
        sandbox.server.faults.script.add(refused)
        say(sandbox, source, "two")
        if is_stored_refused:
            await until(lambda: bool(harness.lost))
        else:
            await until(lambda: texts(to) == ["one", "two"])
            assert data_centres(sandbox, account.id) == [4] and not harness.lost
        assert not sandbox.server.connections.overlaps
        await session.stop()

    run_scenario(scenario)


@pytest.mark.parametrize("name", ["USER_MIGRATE_4", "NETWORK_MIGRATE_4"])
def test_a_send_that_is_answered_with_303_is_repeated_and_nothing_is_lost(name: str) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        fault = ScriptedFault(FaultKind.REFUSE, 303, name, method="messages.sendMessage")
        sandbox.server.faults.script.add(fault)
        say(sandbox, source, "one", "two", "three")
        await until(lambda: len(texts(to)) == 3)
        assert texts(to) == ["one", "two", "three"]
        assert not sandbox.server.faults.script
        assert data_centres(sandbox, account.id) == [2]
        assert not harness.lost
        await session.stop()

    run_scenario(scenario)


def test_a_difference_that_is_answered_with_303_is_asked_for_again() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy"))
        await session.start()
        say(sandbox, source, "one")
        await until(lambda: texts(to) == ["one"])
        await session.stop()
        cursors = harness.commit(session)
        say(sandbox, source, "missed")
        fault = ScriptedFault(
            FaultKind.REFUSE, 303, "USER_MIGRATE_4", method="updates.getChannelDifference"
        )
        sandbox.server.faults.script.add(fault)
        session = harness.session(account, (source, to, "copy"), cursors=cursors)
        await session.start()
        await until(lambda: texts(to) == ["one", "missed"])
        assert not sandbox.server.faults.script
        await session.stop()

    run_scenario(scenario)
