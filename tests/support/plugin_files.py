"""Plug-ins that get files, installed for tests: in processes of their own, or in the test's."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil

from afx.plugins import File, Message
from afx.plugins.exchange import WrongAnswerError
from afx.plugins.runner import Answer, Failed, PluginRunner

CODE = """
import os, subprocess, sys, time
from afx.plugins import Drop

async def stamp(message, settings):
    with open(message.file.path, "rb") as old, open("new", "wb") as new:
        new.write(old.read() + settings.get("mark", "!").encode())
    return message.with_file("new")

async def read(message, settings):
    with open(message.file.path) as stream:
        return message.with_text(f"{message.text}: {stream.read()}")

async def tell(message, settings):
    known = sorted(it for it in os.environ if it.startswith("AFX_"))
    file = message.file
    return message.with_text(f"{file.name} {file.mime_type} {file.size} {known} {settings}")

async def hang(message, settings):
    with open(settings["pids"], "w") as stream:
        command = [sys.executable, "-c", "import time; time.sleep(600)"]
        child = subprocess.Popen(command, start_new_session=True)
        stream.write(f"{os.getpid()} {child.pid}")
    time.sleep(600)

async def hog(message, settings):
    return message.with_text(str(len(bytearray(1 << 30))))

async def fill(message, settings):
    with open("new", "wb") as stream:
        for _ in range(64):
            stream.write(bytes(1 << 20))

async def many(message, settings):
    for number in range(600):
        with open(f"new{number}", "wb") as stream:
            stream.write(bytes(1 << 20))
        time.sleep(0.002)

async def pipes(message, settings):
    os.unlink("order.json")
    os.mkfifo("order.json")
    if settings:
        os.mkfifo("answer.json")
        os._exit(0)

async def stop(message, settings):
    os._exit(3)

async def drop(message, settings):
    return Drop()

async def raises(message, settings):
    raise OSError("no service")

async def noisy(message, settings):
    print("x" * 100_000)
    sys.stderr.write("y" * 100_000)
"""


def install(directory: Path, monkeypatch: Any) -> None:
    """Install the plug-ins of ``CODE`` for processes that a test starts."""
    (directory / "files_for_tests.py").write_text(CODE)
    names = [it.split("(")[0].split()[-1] for it in CODE.splitlines() if "def " in it[:10]]
    about = directory / "files_for_tests-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: files-for-tests\nVersion: 1\n")
    lines = "\n".join(f"{it} = files_for_tests:{it}" for it in names)
    (about / "entry_points.txt").write_text(f"[afx.transforms]\n{lines}\n")
    monkeypatch.setenv("PYTHONPATH", str(directory))


def example(name: str) -> Any:
    """Return the module of an example of the documentation."""
    path = Path(__file__).parents[2] / f"docs/plugins/{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class InProcess(PluginRunner):
    """Asks functions of the test about files; what they raise is a failure of the plug-in."""

    def __init__(self, hooks: Mapping[str, Callable[[Message], Any]]) -> None:
        super().__init__()
        self.hooks = hooks
        self.asked: list[Message] = []

    async def apply_to_file(self, use: Any, message: Message, directory: Path) -> Answer:
        assert message.file is not None and Path(message.file.path).parent == directory
        self.asked.append(message)
        try:
            answer = self.hooks[use.name](message)
        except WrongAnswerError as error:
            return Failed(str(error))
        return message if answer is None else answer


def given(directory: Path, entities: tuple[Any, ...] = ()) -> tuple[Message, Path]:
    own = directory / "own"
    own.mkdir()
    (own / "source.jpg").write_bytes(b"photo")
    file = File(str(own / "source.jpg"), "photo.jpg", "image/jpeg", 5)
    return Message("text", entities, "photo", -1001, 7, 1, file=file), own


def is_alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
