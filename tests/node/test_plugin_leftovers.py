"""What a plug-in's process leaves behind is removed, killed, and not waited for."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support import plugin_files
from support.plugin_files import given, is_alive

from afx.forwarding.plugin_options import Plugin
from afx.plugins.exchange import WrongAnswerError
from afx.plugins.processes import Processes
from afx.plugins.spool import Spool


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    plugin_files.install(tmp_path, monkeypatch)
    return tmp_path


def test_pipes_in_the_places_of_orders_and_answers_are_not_waited_for(installed: Path) -> None:
    async def both() -> list[Any]:
        message, own = given(installed)
        use = Plugin("pipes", timeout=60.0, files=1_000)
        found = [await Processes().call(use, message, own)]
        with pytest.raises(WrongAnswerError, match="its answer is no file"):
            await Processes().call(replace(use, settings={"exits": "yes"}), message, own)
        return [message, *found]

    message, first = asyncio.run(both())
    assert first is message


@pytest.mark.faults
def test_one_whose_node_is_killed_ends_with_what_it_has_started(installed: Path) -> None:
    pids = installed / "pids"
    _message, own = given(installed)
    code = f"""
import asyncio, sys
from pathlib import Path
from afx.forwarding.plugin_options import Plugin
from afx.plugins import File, Message
from afx.plugins.processes import Processes
file = File({str(own / "source.jpg")!r}, "photo.jpg", "image/jpeg", 5)
use = Plugin("hang", {{"pids": {str(pids)!r}}}, timeout=60.0, files=9)
asyncio.run(Processes().call(use, Message("text", file=file), Path({str(own)!r})))
"""
    node = subprocess.Popen([sys.executable, "-c", code])
    try:
        end = time.monotonic() + 60
        while not (pids.exists() and pids.read_text().count(" ")) and time.monotonic() < end:
            time.sleep(0.01)
        started = [int(it) for it in pids.read_text().split()]
        assert len(started) == 2
    finally:
        node.kill()
        node.wait()
    while any(map(is_alive, started)) and time.monotonic() < end:
        time.sleep(0.01)
    assert not any(map(is_alive, started))


def test_what_a_killed_process_has_left_is_removed_and_what_another_one_uses_is_not(
    tmp_path: Path,
) -> None:
    one, other = Spool(tmp_path), Spool(tmp_path)
    for it in (one, other):
        (it.directory() / "file").write_bytes(b"data")
        os.utime(it.root, (1, 1))
    left = tmp_path / one.root.name.replace(one.root.name[-4:], "left")
    left.mkdir()
    (left / "file").write_bytes(b"data")
    os.utime(left, (1, 1))
    killed = tmp_path / one.root.name.replace(one.root.name[-4:], "kill")
    killed.mkdir()
    (killed / "lock").touch()  # just now, and nobody holds it any more
    young = tmp_path / one.root.name.replace(one.root.name[-4:], "soon")
    young.mkdir()
    third = Spool(tmp_path)
    assert set(tmp_path.iterdir()) == {one.root, other.root, young, third.root}
    for it in (one, other, third):
        it.close()
    assert set(tmp_path.iterdir()) == {young}
