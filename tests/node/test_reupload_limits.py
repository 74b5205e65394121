"""Limits of uploads, and files of other data centres (``protected``)."""

from __future__ import annotations

import asyncio

import pytest
from support.reuploads import (
    BIG,
    GET,
    MIB,
    REUPLOAD,
    copies,
    document,
    photo,
    protected,
    publish,
)
from support.sandbox import SandboxHarness, run_scenario, until
from support.sessions import RefusingHandler, say, texts
from telethon.tl import functions

from afx.node import lane
from afx.reasons import DeadReason
from afx.sandbox.scripted import FaultKind, ScriptedFault
from afx.sandbox.telegram.uploads import Formula
from afx.telegram.client import AccountClient


@pytest.mark.parametrize(
    ("method", "code", "name"),
    [
        ("upload.saveBigFilePart", 420, "FLOOD_WAIT_1"),
        ("upload.getFile", 420, "FLOOD_PREMIUM_WAIT_1"),
        ("upload.saveBigFilePart", 500, "INTERNAL"),
    ],
)
def test_what_holds_up_a_transfer_costs_no_part_twice(
    monkeypatch: pytest.MonkeyPatch, method: str, code: int, name: str
) -> None:
    asked = [RefusingHandler(monkeypatch, it) for it in (GET, BIG)]

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = protected(sandbox)
        session = harness.session(account, (source, to, "copy", REUPLOAD))
        await session.start()
        sandbox.server.faults.script.add(
            ScriptedFault(FaultKind.REFUSE, code, name, method=method, skip=40)
        )
        publish(sandbox, source, "", document(sandbox, 12 * MIB))
        await until(lambda: copies(to))
        got, saved = (it.requests for it in asked)
        assert not sandbox.server.faults.script
        assert len(saved) == 96 and len(got) <= 97
        assert copies(to)[0].data == Formula(7, 12 * MIB)[0 : 12 * MIB]
        await session.stop()

    run_scenario(scenario)


def test_a_file_of_another_data_centre_is_fetched_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AccountClient, "_config", None)

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = protected(sandbox)
        session = harness.session(account, (source, to, "copy", REUPLOAD))
        await session.start()
        far = document(sandbox, 3 * MIB)
        far.data_centre = 4
        publish(sandbox, source, "far", far)
        await until(lambda: texts(to) == ["far"])
        assert copies(to)[0].data == Formula(7, 3 * MIB)[0 : 3 * MIB]
        assert not sandbox.server.connections.overlaps and not harness.lost
        await session.stop()
        await until(lambda: not len(sandbox.server.connections))

    run_scenario(scenario)


def test_a_file_that_is_too_large_is_a_dead_letter_that_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    got = RefusingHandler(monkeypatch, GET)

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = protected(sandbox)
        session = harness.session(account, (source, to, "copy", REUPLOAD))
        await session.start()
        for size in (4_001 * 512 * 1024, 8_001 * 512 * 1024):
            publish(sandbox, source, "", document(sandbox, size))
        say(sandbox, source, "a text")
        await until(lambda: texts(to) == ["a text"])
        await until(lambda: harness.commit(session) and len(harness.dead) == 2)
        assert {it.reason for it in harness.dead} == {DeadReason.MESSAGE_REFUSED}
        assert [it.error for it in harness.dead] == [
            "its file has 2.1 GB; this account may upload 2.1 GB",
            "its file has 4.2 GB; this account may upload 2.1 GB",
        ]
        assert not got.requests
        account.premium = True
        await session.stop()

    run_scenario(scenario)


def test_another_data_centre_that_refuses_its_key_is_no_lost_login(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(AccountClient, "_config", None)

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = protected(sandbox)
        session = harness.session(account, (source, to, "copy", REUPLOAD))
        await session.start()
        sandbox.server.faults.script.add(
            ScriptedFault(
                FaultKind.REFUSE, 401, "AUTH_KEY_UNREGISTERED", method="upload.getFile", skip=3
            )
        )
        far = document(sandbox, 2 * MIB)
        far.data_centre = 4
        publish(sandbox, source, "far", far)
        await until(lambda: texts(to) == ["far"])
        assert not sandbox.server.faults.script and not harness.lost and not harness.dead
        await session.stop()

    run_scenario(scenario)


def test_a_speed_limit_makes_no_budget_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = protected(sandbox)
        session = harness.session(account, (source, to, "copy", REUPLOAD))
        await session.start()
        sandbox.server.faults.script.add(
            ScriptedFault(
                FaultKind.REFUSE, 420, "FLOOD_PREMIUM_WAIT_9", method="upload.saveFilePart"
            )
        )
        publish(sandbox, source, "", photo(sandbox))
        waits = session.forwarder.waits
        await until(lambda: waits.left("upload.SaveFilePart") > 5)
        assert not waits.budgets
        await session.stop()

    run_scenario(scenario)


@pytest.mark.parametrize("is_known", [False, True], ids=["met", "stored"])
def test_a_wait_for_the_last_step_of_an_upload_is_obeyed(
    monkeypatch: pytest.MonkeyPatch, is_known: bool
) -> None:
    refusals = [] if is_known else [(420, "FLOOD_WAIT_3600")] * 20
    method = functions.messages.UploadMediaRequest
    asked = RefusingHandler(monkeypatch, method, *refusals)

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = protected(sandbox)
        session = harness.session(account, (source, to, "copy", REUPLOAD))
        await session.start()
        waits = session.forwarder.waits
        if is_known:
            session.note_wait("messages.UploadMedia", 3_600, "FLOOD_WAIT")
        publish(sandbox, source, "", photo(sandbox))
        await until(lambda: sandbox.server.world.files.uploads._uploads)
        await until(lambda: waits.left("messages.UploadMedia") > 0)
        for _ in range(200):
            await asyncio.sleep(0)
        await session.client(functions.help.GetConfigRequest())  # what was sent is answered
        assert len(asked.requests) == (0 if is_known else 1)
        assert not copies(to)
        await session.stop()

    monkeypatch.setattr(lane, "_DRAIN_SECONDS", 0.01)
    run_scenario(scenario)
