"""What happens while a file is uploaded anew: waits, losses, deaths (``protected``)."""

from __future__ import annotations

import pytest
from support.reuploads import (
    MIB,
    REUPLOAD,
    copies,
    document,
    photo,
    protected,
    publish,
)
from support.sandbox import SandboxHarness, run_scenario, until
from support.sessions import say, texts

from afx.node import lane, reuploads
from afx.sandbox.scripted import FaultKind, ScriptedFault
from afx.sandbox.telegram.uploads import Formula


def test_a_lost_connection_and_an_expired_reference_are_got_over() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = protected(sandbox)
        session = harness.session(account, (source, to, "copy", REUPLOAD))
        await session.start()
        film = document(sandbox, 30 * MIB)
        publish(sandbox, source, "", film)
        uploads = sandbox.server.world.files.uploads._uploads
        await until(lambda: uploads)
        sandbox.server.world.files.expire()
        [upload] = uploads.values()
        await until(lambda: len(upload.parts) > 60)
        sandbox.server.connections.drop(account.id)
        await until(lambda: copies(to))
        assert copies(to)[0].data == Formula(7, 30 * MIB)[0 : 30 * MIB]
        assert not harness.dead and not harness.lost
        await session.stop()

    run_scenario(scenario)


def test_parts_that_telegram_has_forgotten_are_uploaded_again() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = protected(sandbox)
        session = harness.session(account, (source, to, "copy", REUPLOAD))
        await session.start()
        publish(sandbox, source, "", document(sandbox, 6 * MIB))
        uploads = sandbox.server.world.files.uploads
        await until(lambda: uploads._uploads)
        uploads.forget()
        await until(lambda: copies(to))
        assert copies(to)[0].data == Formula(7, 6 * MIB)[0 : 6 * MIB]
        await session.stop()

    run_scenario(scenario)


def test_a_lane_that_uploads_for_long_holds_up_no_cursor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reuploads, "PARK_SECONDS", 0.0)

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = protected(sandbox)
        session = harness.session(account, (source, to, "copy", REUPLOAD))
        await session.start()
        gate = ScriptedFault(
            FaultKind.REFUSE, 420, "FLOOD_WAIT_1", method="upload.saveFilePart", count=1
        )
        sandbox.server.faults.script.add(gate)
        publish(sandbox, source, "a photo", photo(sandbox))
        say(sandbox, source, "a text")
        box = session.reader.channels[source.id]
        await until(lambda: box.cursor == source.box.pts)
        assert not texts(to)
        await until(lambda: texts(to) == ["a photo", "a text"])
        await until(lambda: not session.forwarder.outboxes.has(to.marked))
        await session.stop()

    run_scenario(scenario)


@pytest.mark.parametrize(
    "method",
    ["upload.getFile", "upload.saveFilePart", "messages.uploadMedia", "messages.sendMultiMedia"],
)
def test_a_node_that_dies_on_the_way_loses_and_doubles_nothing(
    monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    monkeypatch.setattr(lane, "_DRAIN_SECONDS", 0.01)

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = protected(sandbox)
        rule = (source, to, "copy", REUPLOAD)
        first = harness.session(account, rule)
        await first.start()
        say(sandbox, source, "one")
        await until(lambda: texts(to) == ["one"])
        harness.commit(first)
        first.note_committed()
        sandbox.server.faults.script.add(ScriptedFault(FaultKind.NO_ANSWER, method=method, skip=1))
        if method == "messages.sendMultiMedia":
            sandbox.server.faults.script.take(method, 0, 0)
        for number in (2, 3):
            publish(sandbox, source, f"{number}", photo(sandbox, bytes([number])), grouped=5)
        say(sandbox, source, "four")
        await until(lambda: not sandbox.server.faults.script)
        harness.may_write = False  # not a byte reaches Telegram any more
        await first.stop()
        harness.may_write = True
        later = harness.session(account, rule, cursors=dict(harness.progress))
        await later.start()
        await until(lambda: texts(to)[-1:] == ["four"])
        assert texts(to) == ["one", "2", "3", "four"]
        album = list(to.box.messages.values())[1:3]
        assert len({it.grouped for it in album}) == 1
        assert [it.media.data for it in album] == [b"\2", b"\3"]
        assert not harness.dead and not harness.lost
        await later.stop()

    run_scenario(scenario)


def test_a_session_that_stops_in_mid_transfer_leaves_nothing_running(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lane, "_DRAIN_SECONDS", 0.01)

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = protected(sandbox)
        session = harness.session(account, (source, to, "copy", REUPLOAD))
        await session.start()
        publish(sandbox, source, "", document(sandbox, 70 * MIB))
        uploads = sandbox.server.world.files.uploads._uploads
        await until(lambda: uploads)
        await session.stop()
        [upload] = uploads.values()
        assert len(upload.parts) < 560 and not copies(to)
        await until(lambda: not len(sandbox.server.connections))

    run_scenario(scenario)


def test_a_reference_of_an_upload_that_has_expired_lets_it_be_uploaded_once_more() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = protected(sandbox)
        late = sandbox.channel(posters=(account,))
        session = harness.session(account, (source, (to, late), "copy", REUPLOAD))
        await session.start()
        sandbox.server.faults.add_flood(account.id, late.marked, 1.0)
        for number in range(3):
            publish(sandbox, source, f"{number}", photo(sandbox, bytes([number])), grouped=5)
        publish(sandbox, source, "alone", photo(sandbox, b"alone"))
        await until(lambda: len(copies(to)) == 4)
        sandbox.server.world.files.expire()
        await until(lambda: len(copies(late)) == 4)
        assert [it.data for it in copies(late)] == [b"\0", b"\1", b"\2", b"alone"]
        assert len({it.grouped for it in list(late.box.messages.values())[:3]}) == 1
        assert not harness.dead and not harness.troubles
        await session.stop()

    run_scenario(scenario)
