"""Several processes of the API at one address."""

from __future__ import annotations

import os
import re
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from support.api_process import Process
from support.dashboard import SAME

from afx.api.messages import MessagesInFiles, Said
from afx.local import private_redis


@pytest.fixture
def server(home: Path, _redis_home: Path) -> Iterator[Process]:
    found = Process(home, private_redis.url_for(_redis_home), "--workers", "2")
    yield found
    children = psutil.Process(found.process.pid).children() if found.process.poll() is None else []
    for it in (*children, found.process):
        it.kill()
    found.process.wait()


def children(server: Process) -> set[int]:
    return {it.pid for it in psutil.Process(server.process.pid).children()}


def wait(done: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not done():
        assert time.monotonic() < until
        time.sleep(0.02)


def answers(server: Process) -> bool:
    try:
        return server.send("/api/v1/users").status_code == 200
    except httpx.TransportError:
        return False


def test_several_processes_serve_one_address_and_end_together(server: Process) -> None:
    wait(lambda: answers(server))
    before = children(server)
    assert len(before) == 2
    server.stop()
    wait(lambda: not any(psutil.pid_exists(it) for it in before))


def test_a_process_that_is_killed_is_started_again(server: Process) -> None:
    wait(lambda: answers(server))
    first = children(server)
    os.kill(min(first), signal.SIGKILL)
    wait(lambda: len(children(server)) == 2 and children(server) != first)
    wait(lambda: answers(server))


def test_they_end_when_their_parent_is_killed(server: Process) -> None:
    wait(lambda: answers(server))
    before = children(server)
    server.process.kill()
    server.process.wait()
    wait(lambda: not any(psutil.pid_exists(it) for it in before))


def test_a_secret_is_shown_once_whichever_process_shows_the_page(server: Process) -> None:
    wait(lambda: answers(server))
    messages = server.home / "api-messages"
    address = f"http://127.0.0.1:{server.port}"
    signed = httpx.post(f"{address}/sign-in", data={"token": server.token}, headers=SAME)
    headers = {"cookie": signed.headers["set-cookie"].partition(";")[0], **SAME}
    for number in range(6):
        form = {"name": f"t{number}", "scopes": "user:read", "days": "1"}
        # Each request has a connection of its own: any process may get it.
        made = httpx.post(f"{address}/actions/token.create", data=form, headers=headers)
        assert made.status_code == 303, made.text
        shown = [httpx.get(f"{address}{made.headers['location']}", headers=headers) for _ in "ab"]
        secrets = [re.search(r"afx_[0-9a-f]{12}_", it.text) for it in shown]
        assert secrets[0] and not secrets[1]
        assert messages.stat().st_mode & 0o077 == 0
        shutil.rmtree(messages)  # whoever tidies up takes nothing away that is missed


def test_a_message_in_a_file_is_sealed_and_for_one_token(tmp_path: Path) -> None:
    now = [time.time()]
    messages = MessagesInFiles(tmp_path, b"k" * 32, now=lambda: now[0])
    key = messages.add(7, Said("ok", "title", "text", "secret"))
    [file] = tmp_path.iterdir()
    assert b"secret" not in file.read_bytes() and file.stat().st_mode & 0o077 == 0
    assert messages.take(8, key) is None
    assert MessagesInFiles(tmp_path, b"x" * 32).take(7, key) is None
    for wrong in ("", "../x", "a" * 16, key + "a"):
        assert messages.take(7, wrong) is None
    assert messages.take(7, key) == Said("ok", "title", "text", "secret")
    assert messages.take(7, key) is None
    messages.add(7, Said("ok", "old"))
    now[0] += 300
    messages.add(7, Said("ok", "new"))
    assert len(list(tmp_path.iterdir())) == 1
