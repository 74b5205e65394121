"""A plug-in that gets files has a process: bounded, killed in time, and not trusted."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support import plugin_files
from support.plugin_files import given, is_alive
from support.sandbox import until
from telethon.tl import types

from afx.forwarding.plugin_options import Plugin
from afx.plugins import Drop, File, Message
from afx.plugins.exchange import ANSWER, WrongAnswerError, fields_of, order_text, read_answer
from afx.plugins.process import answered
from afx.plugins.processes import Processes, checked_file

MIB = 1024 * 1024


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    plugin_files.install(tmp_path, monkeypatch)
    return tmp_path


BOLD = (types.MessageEntityBold(0, 4),)


def ask(directory: Path, name: str, *, more: Any = None, of: Any = (), **limits: Any) -> Any:
    message, own = given(directory, of)
    use = Plugin(name, more or {}, **{"timeout": 60.0, "files": 1_000, **limits})
    try:
        return asyncio.run(Processes().call(use, message, own))
    except WrongAnswerError as error:
        return str(error)


def test_it_returns_another_file_and_keeps_the_text_with_its_entities(installed: Path) -> None:
    answer = ask(installed, "stamp", more={"mark": " of us"}, of=BOLD)
    assert (answer.text, answer.entities) == ("text", BOLD)
    assert Path(answer.file.path).read_bytes() == b"photo of us"
    assert answer.file == File(answer.file.path, "photo.jpg", "image/jpeg", 11)


def test_it_learns_of_the_file_and_of_no_key_of_the_node(
    installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AFX_SECRET_KEY", "of the node")
    answer = ask(installed, "tell", more={"a": "b"})
    assert answer.text == "photo.jpg image/jpeg 5 [] {'a': 'b'}"
    assert answer.file is not None and answer.entities == ()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("stop", "its process ended with status 3"),
        ("hog", "it raised MemoryError"),
        ("fill", "it raised OSError"),
        ("many", "it has written more than 67,108,864 bytes"),
        ("nobody", "the plug-in 'nobody' is not installed here"),
    ],
)
def test_one_that_ends_or_takes_too_much_has_no_answer(
    installed: Path, name: str, reason: str
) -> None:
    assert ask(installed, name, memory=300 * MIB) == reason


@pytest.mark.parametrize(
    "name", ["large", "/etc/passwd", "../above", "link", "no", "empty", "fifo"]
)
def test_a_file_that_is_none_of_its_directory_or_too_large_is_refused(
    tmp_path: Path, name: str
) -> None:
    own = tmp_path / "own"
    (own / "deep").mkdir(parents=True)
    (tmp_path / "above").write_text("secret")
    (own / "link").symlink_to(tmp_path / "above")
    (own / "large").write_bytes(bytes(2_000))
    (own / "empty").touch()
    os.mkfifo(own / "fifo")
    (own / "deep/good").write_bytes(b"good")
    (own / "deep/up").symlink_to(tmp_path)
    good = checked_file(File("deep/good", "a", "b"), own, 1_000)
    assert good == File(str(own / "deep/good"), "a", "b", 4)
    for it in (name, "deep/up/above"):
        with pytest.raises(WrongAnswerError):
            checked_file(File(it, "a", "b"), own, 1_000)


async def _a_text(_message: Message, _settings: Any) -> Any:
    return "a text"


async def _raises(_message: Message, _settings: Any) -> Any:
    raise LookupError(7)


@pytest.mark.parametrize(
    ("hook", "reason"),
    [
        (_a_text, "its answer is neither a message, nor Drop, nor None"),
        (_raises, "it raised LookupError"),
        (len, "the plug-in 'x' is no async function"),
    ],
)
def test_an_answer_of_another_kind_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hook: Any, reason: str
) -> None:
    monkeypatch.setattr("afx.plugins.process.installed", lambda _name: hook)
    order = json.loads(order_text("x", {}, given(tmp_path)[0], memory=1, most=1, cpu=1))
    assert json.loads(answered(order)) == {"kind": "failed", "reason": reason}


def test_one_that_prints_or_drops_is_understood(installed: Path) -> None:
    async def both() -> list[Any]:
        message, own = given(installed)
        found = []
        for name in ("noisy", "drop"):
            use = Plugin(name, timeout=60.0, files=1_000)
            found.append(await Processes().call(use, message, own))
        return [message, *found]

    message, noisy, drop = asyncio.run(both())
    assert noisy is message and drop == Drop()


@pytest.mark.parametrize("is_cancelled", [False, True])
def test_one_that_hangs_is_killed_with_what_it_has_started(
    installed: Path, is_cancelled: bool
) -> None:
    pids = installed / "pids"

    async def main() -> None:
        message, own = given(installed)
        use = Plugin("hang", {"pids": str(pids)}, timeout=60.0 if is_cancelled else 2.0, files=9)
        call = asyncio.create_task(Processes().call(use, message, own))
        if is_cancelled:
            while not (pids.exists() and pids.read_text().count(" ")):
                await asyncio.sleep(0.01)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
        else:
            with pytest.raises(WrongAnswerError, match="no answer within 2 s"):
                await call
        if pids.exists():
            await until(lambda: not any(map(is_alive, map(int, pids.read_text().split()))))

    asyncio.run(main())


@pytest.mark.parametrize(("name", "mime_type"), [("", "image/png"), ("n" * 300 + ".png", "")])
def test_a_file_is_named_by_its_message_whatever_that_says(
    tmp_path: Path, name: str, mime_type: str
) -> None:
    message, own = given(tmp_path)
    assert message.file is not None
    message = replace(message, file=replace(message.file, name=name, mime_type=mime_type))
    for it in (message.with_text("other"), message.with_file("new")):
        (own / ANSWER).write_text(json.dumps({"kind": "message", **fields_of(it)}))
        answer = read_answer(own, message)
        assert isinstance(answer, Message) and answer.file == it.file


WRONG: list[Callable[[dict[str, Any]], Any]] = [
    lambda _: [],
    lambda _: None,
    lambda _: {"kind": "message"},
    lambda it: {**it, "text": 7},
    lambda it: {**it, "text": "\ud800"},
    lambda it: {**it, "text": "x" * 20_000},
    lambda it: {**it, "entities": ["zz"]},
    lambda it: {**it, "entities": ["00"]},
    lambda it: {**it, "entities": [bytes(types.InputPeerSelf()).hex()]},
    lambda it: {**it, "entities": {}},
    lambda it: {**it, "file": "a"},
    lambda it: {**it, "file": ["a", "b", 3, 0]},
    lambda it: {**it, "file": ["a\0", "b", "c", 0]},
    lambda it: {**it, "file": ["a", "b" * 300, "c", 0]},
    lambda it: {**it, "file": ["a", "\ud800", "c", 0]},
]


@pytest.mark.parametrize("wrong", WRONG)
def test_an_answer_that_is_no_message_is_none(
    tmp_path: Path, wrong: Callable[[dict[str, Any]], Any]
) -> None:
    message, own = given(tmp_path, BOLD)
    good = {"kind": "message", **fields_of(message)}
    (own / ANSWER).write_text(json.dumps(good))
    assert read_answer(own, message) == message
    (own / ANSWER).write_text(json.dumps(wrong(good)))
    with pytest.raises(WrongAnswerError):
        read_answer(own, message)


def test_the_example_that_reads_a_photo_adds_what_a_command_prints(tmp_path: Path) -> None:
    ocr = plugin_files.example("ocr").ocr
    message, _ = given(tmp_path)
    assert asyncio.run(ocr(message, {"command": "cat '{file}'"})).text == "text\n\nphoto"
    assert asyncio.run(ocr(message, {"command": "true"})) is None
    assert asyncio.run(ocr(Message("a text"), {})) is None
    with pytest.raises(RuntimeError):
        asyncio.run(ocr(message, {"command": "false"}))


def test_the_example_of_a_watermark_leaves_what_is_no_photo(tmp_path: Path) -> None:
    watermark = plugin_files.example("watermark").watermark
    message, _ = given(tmp_path)
    assert asyncio.run(watermark(replace(message, media="video"), {})) is None
    assert asyncio.run(watermark(Message("a text"), {})) is None
