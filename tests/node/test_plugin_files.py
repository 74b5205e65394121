"""Plug-ins get the files of messages, and other files are sent in their place (``files``)."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support import plugin_files
from support.following import settled
from support.plugin_files import InProcess
from support.reuploads import (
    GET,
    MIB,
    PART,
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
from telethon.tl import functions

from afx.node import plugged
from afx.node import plugin_files as on_disk
from afx.plugins import Drop, Message
from afx.plugins.exchange import WrongAnswerError
from afx.plugins.runner import PluginRunner
from afx.plugins.spool import Spool
from afx.reasons import DeadReason, TroubleReason
from afx.sandbox.errors import RpcError
from afx.sandbox.telegram.changes import Place
from afx.sandbox.telegram.methods.call import HANDLERS

Hook = Callable[[Message], Any]


def stamp(message: Message) -> Message:
    assert message.file is not None
    path = Path(message.file.path)
    (path.parent / "new").write_bytes(path.read_bytes() + b"!")
    new = message.with_file(str(path.parent / "new"))
    assert new.file is not None
    return replace(new, file=replace(new.file, size=path.stat().st_size + 1))


def read(message: Message) -> Message:
    assert message.file is not None
    return message.with_text(f"{message.text}{Path(message.file.path).read_text()}")


def bad(message: Message) -> None:
    raise WrongAnswerError("no answer within 5 s")


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> InProcess:
    """Returns what asks functions instead of processes; nothing may be left on the disk."""
    runner = InProcess({"stamp": stamp, "read": read, "bad": bad, "drop": lambda _: Drop()})
    spool = Spool(tmp_path)
    monkeypatch.setattr(plugged, "_RUNNER", runner)
    monkeypatch.setattr(on_disk, "_SPOOL", [spool])
    monkeypatch.setattr(runner, "spool", spool, raising=False)
    return runner


def left(runner: InProcess) -> list[str]:
    gc.collect()  # what was in a lane as its session ended
    root: Path = runner.spool.root  # type: ignore[attr-defined]
    return [it.name for it in root.iterdir() if it.name != "lock"]


def options(*names: str, files: int = 100 * MIB, **more: Any) -> dict[str, Any]:
    on_error = more.pop("on_error", "pass")
    plugins = [{"name": it, "files": files, "timeout": 60, "on_error": on_error} for it in names]
    return {"options": {"plugins": plugins, **more}}


def test_other_files_are_sent_and_shown_as_the_first_ones_were(asked: InProcess) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        rule = {**options("stamp", "read"), "sync": ("edits",)}
        session = harness.session(account, (source, to, "copy", rule))
        await session.start()
        files = sandbox.server.world.files
        film = files.add(b"film", mime_type="video/mp4", attributes=[VIDEO])
        publish(sandbox, source, "a ", photo(sandbox).covered(True))
        publish(sandbox, source, "b ", film)
        say(sandbox, source, "a text")
        await settled(session, source)
        assert texts(to) == ["a photo!", "b film!", "a text"]
        one, two = copies(to)[:2]
        assert (one.data, two.data) == (b"photo!", b"film!")
        assert one.is_photo and one.spoiler
        assert (two.mime_type, list(map(bytes, two.attributes))) == ("video/mp4", [bytes(VIDEO)])
        place = Place(sandbox.server.world, sandbox.server.pushes, source, 0)
        message = source.box.messages[1]
        changed = message.content._replace(text="c ", media=photo(sandbox, b"other"))
        place.edit(message, changed)
        await until(lambda: texts(to)[0] == "c other!")
        assert copies(to)[0].data == b"other!"
        assert [it.is_edit for it in asked.asked] == [False] * 4 + [True] * 2
        await session.stop()
        assert not harness.dead and not harness.troubles

    run_scenario(scenario)
    assert not left(asked)


@pytest.mark.parametrize("name", ["stamp", "read"])
def test_an_album_stays_one_though_some_of_its_files_are_others(
    asked: InProcess, name: str
) -> None:
    def second(message: Message) -> Message | None:
        return {"stamp": stamp, "read": read}[name](message) if message.text == "1" else None

    asked.hooks = {"second": second}

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy", options("second")))
        await session.start()
        for number in range(3):
            publish(sandbox, source, f"{number}", photo(sandbox, b"%d" % number), grouped=5)
        say(sandbox, source, "last")
        await until(lambda: texts(to)[-1:] == ["last"])
        album = [it for it in to.box.messages.values() if it.grouped]
        data = [it.media.data for it in album]
        assert data == ([b"0", b"1!", b"2"] if name == "stamp" else [b"0", b"1", b"2"])
        assert [it.text for it in album] == ["0", "1" if name == "stamp" else "11", "2"]
        assert len({it.grouped for it in album}) == 1
        await session.stop()
        assert not harness.dead and not harness.troubles

    run_scenario(scenario)
    assert not left(asked)


@pytest.mark.parametrize("is_reuploaded", [True, False])
def test_files_of_chats_that_forbid_to_save_them_are_got_too(
    asked: InProcess, is_reuploaded: bool
) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = protected(sandbox)
        more: dict[str, Any] = {"protected": "reupload"} if is_reuploaded else {}
        rule = options("stamp" if not is_reuploaded else "read", **more)
        session = harness.session(account, (source, to, "copy", rule))
        await session.start()
        publish(sandbox, source, "a ", photo(sandbox))
        await until(lambda: len(texts(to)) == 1)
        assert texts(to) == ["a photo" if is_reuploaded else "a "]
        assert copies(to)[0].data == (b"photo" if is_reuploaded else b"photo!")
        await session.stop()
        assert not harness.dead and not harness.troubles

    run_scenario(scenario)
    assert not left(asked)


@pytest.mark.parametrize("on_error", ["pass", "drop", "dead"])
@pytest.mark.parametrize("why", ["bad", "too large", "refused"])
def test_the_rule_says_what_becomes_of_a_file_without_an_answer(
    asked: InProcess, monkeypatch: pytest.MonkeyPatch, on_error: str, why: str
) -> None:
    if why == "refused":
        upload = functions.messages.UploadMediaRequest
        RefusingHandler(monkeypatch, upload, (400, "PHOTO_INVALID_DIMENSIONS"))
    name = "bad" if why == "bad" else "stamp"

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        files = 3 if why == "too large" else MIB
        rule = options(name, files=files, on_error=on_error)
        session = harness.session(account, (source, to, "copy", rule))
        await session.start()
        publish(sandbox, source, "a", photo(sandbox))
        say(sandbox, source, "b")
        await settled(session, source)
        assert texts(to) == (["a", "b"] if on_error == "pass" else ["b"])
        if on_error == "pass":
            assert copies(to)[0].data == b"photo"
        assert TroubleReason.PLUGIN_FAILED in harness.reasons
        await session.stop()
        harness.commit(session)
        dead = [(it.reason, it.messages) for it in harness.dead]
        assert dead == ([(DeadReason.PLUGIN_FAILED, (1,))] if on_error == "dead" else [])

    run_scenario(scenario)
    assert not left(asked)


def test_what_a_later_plugin_puts_in_the_place_of_a_file_is_not_sent(
    asked: InProcess, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"of the node")

    def swap(message: Message) -> None:
        assert message.file is not None
        path = Path(message.file.path)
        path.unlink()
        path.symlink_to(secret)

    asked.hooks["swap"] = swap

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy", options("stamp", "swap")))
        await session.start()
        publish(sandbox, source, "a", photo(sandbox))
        await settled(session, source)
        assert texts(to) == ["a"] and copies(to)[0].data == b"photo"
        assert TroubleReason.PLUGIN_FAILED in harness.reasons
        await session.stop()

    run_scenario(scenario)
    assert secret.read_bytes() == b"of the node" and not left(asked)


def test_a_crash_after_the_send_asks_again_and_doubles_nothing(asked: InProcess) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        rule = (source, to, "copy", options("stamp"))
        session = harness.session(account, rule)
        await session.start()
        stored = harness.commit(session)
        publish(sandbox, source, "a", photo(sandbox))
        await until(lambda: texts(to) == ["a"])
        await session.stop()  # nothing of it is committed
        session = harness.session(account, rule, cursors=stored)
        await session.start()
        say(sandbox, source, "b")
        await settled(session, source)
        assert texts(to) == ["a", "b"] and copies(to)[0].data == b"photo!"
        assert len(asked.asked) == 2
        await session.stop()

    run_scenario(scenario)
    assert not left(asked)


def test_a_file_is_got_in_parts_over_expired_references_and_uploaded_once(
    asked: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    expired = (400, "FILE_REFERENCE_EXPIRED")
    got = RefusingHandler(monkeypatch, GET, expired)
    sent = RefusingHandler(monkeypatch, functions.messages.SendMediaRequest, expired)
    saved = RefusingHandler(monkeypatch, SMALL)

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        others = tuple(sandbox.channel(posters=(account,)) for _ in range(2))
        session = harness.session(account, (source, (to, *others), "copy", options("stamp")))
        await session.start()
        film = document(sandbox, MIB)
        publish(sandbox, source, "a", film)
        await until(lambda: all(copies(it) for it in (to, *others)))
        wanted = film.data[0:MIB] + b"!"
        assert all(copies(it)[0].data == wanted for it in (to, *others))
        assert {it.limit for it in got.requests} == {PART}
        assert len(saved.requests) == 9 * 2, "again only what has expired, once for all three"
        assert len({it.random_id for it in sent.requests}) == 3
        assert not harness.dead
        await until(lambda: not left(asked))  # at once, not when the session ends
        await session.stop()

    run_scenario(scenario)


def test_a_message_that_is_gone_by_then_is_not_sent_and_the_others_of_its_album_are(
    asked: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy", options("stamp")))
        await session.start()
        get = HANDLERS[GET]

        def deletes(call: Any, request: Any) -> Any:
            monkeypatch.setitem(HANDLERS, GET, get)
            del source.box.messages[1]
            raise RpcError(400, "FILE_REFERENCE_EXPIRED")

        monkeypatch.setitem(HANDLERS, GET, deletes)
        for number in range(2):
            publish(sandbox, source, f"{number}", photo(sandbox, b"%d" % number), grouped=5)
        say(sandbox, source, "last")
        await until(lambda: texts(to)[-1:] == ["last"])
        assert texts(to) == ["1", "last"] and copies(to)[0].data == b"1!"
        await settled(session, source)
        await session.stop()
        harness.commit(session)
        assert [(it.reason, it.messages) for it in harness.dead] == [
            (DeadReason.MESSAGE_GONE, (1,))
        ]

    run_scenario(scenario)
    assert not left(asked)


def test_a_plugin_of_its_own_process_marks_a_photo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin_files.install(tmp_path, monkeypatch)
    monkeypatch.setattr(plugged, "_RUNNER", PluginRunner())

    async def scenario(sandbox: SandboxHarness) -> None:
        harness, account, source, to = one_rule(sandbox)
        session = harness.session(account, (source, to, "copy", options("stamp", "raises")))
        await session.start()
        publish(sandbox, source, "a", photo(sandbox))
        await until(lambda: texts(to) == ["a"])
        assert copies(to)[0].data == b"photo!"
        assert harness.troubles == ["plug-in raises of rule 1: it raised OSError"]
        await session.stop()

    run_scenario(scenario)
