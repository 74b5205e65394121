"""Accounts and files of another data centre, and 303 while a session runs (api/datacenter)."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from typing import Any

import pytest
from support.sandbox import SandboxHarness, run_scenario
from support.sessions import SessionHarness, one_rule, say, texts
from support.specs import KEY
from telethon.errors import SecurityError
from telethon.network import authenticator
from telethon.sessions import StringSession

from afx.coordinator.checkpoints import _FIELD
from afx.sandbox.scripted import FaultKind, ScriptedFault
from afx.security.vault import Vault
from afx.telegram.client import AccountClient
from afx.telegram.login import Server, sign_in

PHONE = "99966123"
VAULT = Vault([KEY])
OTHER = base64.urlsafe_b64encode(b"o" * 32).decode()


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


def keys_of(sandbox: SandboxHarness, account: int) -> int:
    """Return how many keys the account is signed in with."""
    return sum(it.account_id == account for it in sandbox.server.keys.values())


async def run_moved(sandbox: SandboxHarness, harness: SessionHarness, rule: Any) -> dict[str, str]:
    """Let a session start and follow its account to data centre 4; returns what is stored."""
    account = rule[2]
    account.data_centre = 4
    session = harness.session(account, (*rule[:2], "copy"))
    await session.start()
    assert data_centres(sandbox, account.id) == [4]
    await session.stop()
    return harness.commit(session)


def test_a_session_that_starts_again_begins_where_its_account_has_moved_to() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        harness.sealer = VAULT
        stored = await run_moved(sandbox, harness, (source, to, account))
        assert "moved" in stored and account.id and "moved" not in stored["moved"]
        for name, text in stored.items():
            assert _FIELD.fullmatch(f"{name}={text}"), "the coordinator copies no such cursor"
        keys = keys_of(sandbox, account.id)
        say(sandbox, source, "missed")
        for _ in range(2):
            session = harness.session(account, (source, to, "copy"), cursors=stored)
            await session.start()
            assert data_centres(sandbox, account.id) == [4]
            await until(lambda: texts(to) == ["missed"])
            await session.stop()
            assert "moved" not in session.collect_uncommitted().cursor[::2]
        assert keys_of(sandbox, account.id) == keys, "it was signed in once more"
        assert not sandbox.server.connections.overlaps
        # A Redis that has lost it gets it again.
        session.mark_all_dirty()
        assert "moved" in session.collect_uncommitted().cursor

    run_scenario(scenario)


def test_an_exchange_of_keys_that_fails_by_chance_is_tried_once_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    exchange, failures = authenticator.do_authentication, [SecurityError("by chance")]

    async def sometimes(sender: Any) -> Any:
        if failures:
            raise failures.pop()
        return await exchange(sender)

    monkeypatch.setattr(authenticator, "do_authentication", sometimes)

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        await run_moved(sandbox, harness, (source, to, account))
        assert not failures

    run_scenario(scenario)


def test_the_stored_login_is_used_where_the_key_of_a_move_is_refused() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        harness.sealer = VAULT
        stored = await run_moved(sandbox, harness, (source, to, account))
        first = StringSession(sandbox.login(account)).auth_key.key
        for it in sandbox.server.keys.values():
            if it.data != first:
                it.account_id = 0  # somebody has ended it in the list of devices
        session = harness.session(account, (source, to, "copy"), cursors=stored)
        await session.start()
        say(sandbox, source, "one")
        await until(lambda: texts(to) == ["one"])
        assert data_centres(sandbox, account.id) == [4] and not harness.lost
        await session.stop()
        fresh = harness.commit(session)["moved"]
        assert fresh != stored["moved"]

    run_scenario(scenario)


@pytest.mark.parametrize("what", ["another login", "another session", "nonsense", "another vault"])
def test_what_is_stored_of_a_move_is_of_no_use_to_another_login_or_session(what: str) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        harness.sealer = VAULT
        stored = await run_moved(sandbox, harness, (source, to, account))
        account.data_centre = 2
        if what == "another session":
            text = VAULT.open(stored["moved"], session_id=1)
            stored["moved"] = VAULT.seal(text, session_id=2)
        elif what == "nonsense":
            stored["moved"] = VAULT.seal("nonsense", session_id=1)
        elif what == "another vault":
            harness.sealer = Vault([OTHER])
        login = 2 if what == "another login" else 1
        session = harness.session(account, (source, to, "copy"), cursors=stored, login=login)
        await session.start()
        assert data_centres(sandbox, account.id) == [2]
        await session.stop()
        assert "moved" not in harness.commit(session), "it is removed"

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
