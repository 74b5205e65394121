"""The server as a process: over TLS, ended with open streams, killed in mid-request."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.api_process import Process
from support.certificates import Authority
from support.cli_runs import COMMAND, environment

from afx.local import private_redis


@pytest.fixture
def server(home: Path, _redis_home: Path) -> Iterator[Process]:
    found = Process(home, private_redis.url_for(_redis_home))
    yield found
    if found.process.poll() is None:
        found.process.kill()
        found.process.wait()


def test_open_streams_do_not_hold_up_the_end(server: Process) -> None:
    headers = {"authorization": f"Bearer {server.token}", "accept": "text/event-stream"}
    url = f"http://127.0.0.1:{server.port}/api/v1/events"
    with httpx.Client(headers=headers, timeout=10) as client, ExitStack() as open_ones:
        for _ in range(8):
            stream = open_ones.enter_context(client.stream("GET", url))
            assert next(stream.iter_raw()).startswith(b"retry: 1000")
        assert server.stop() < 10  # two seconds, on a machine that does nothing else


def test_a_server_with_a_certificate_speaks_tls_only(home: Path, _redis_home: Path) -> None:
    authority = Authority()
    chain, key = authority.files(home, "127.0.0.1")
    flags = ("--certificate", str(chain), "--key", str(key))
    server = Process(home, private_redis.url_for(_redis_home), *flags)
    try:
        url = f"https://127.0.0.1:{server.port}/sign-in"
        answer = httpx.get(url, verify=authority.trusting(), timeout=30)
        assert answer.status_code == 200 and "Sign in" in answer.text
        for it, verify in ((url, True), (url.replace("https", "http"), True)):
            with pytest.raises(httpx.TransportError):
                httpx.get(it, verify=verify, timeout=30)
    finally:
        server.stop()


def test_a_change_that_was_answered_outlives_a_kill_and_is_not_repeated(
    server: Process, _redis_home: Path
) -> None:
    given: dict[str, Any] = {"json": {"name": "alice"}, "headers": {"idempotency-key": "k"}}
    assert server.send("/api/v1/users", "POST", **given).status_code == 201
    with socket.create_connection(("127.0.0.1", server.port)) as half:
        half.sendall(b"POST /api/v1/users HTTP/1.1\r\nhost: x\r\ncontent-length: 99\r\n\r\n{")
        server.process.kill()
        server.process.wait()
    again = Process(server.home, private_redis.url_for(_redis_home))
    try:
        answer = again.send("/api/v1/users", "POST", **given)
        assert (answer.status_code, answer.headers["idempotent-replayed"]) == (201, "true")
        assert [it["name"] for it in again.send("/api/v1/users").json()["items"]] == ["alice"]
    finally:
        again.stop()


def test_the_first_token_is_shown_once(server: Process) -> None:
    assert server.token.startswith("afx_")
    assert server.send("/healthz").status_code == 200  # it handles signals by now
    server.stop()
    log = server.home / "api.log"
    log.write_text("")
    again = Process(server.home, "redis://127.0.0.1:1")
    assert again.send("/healthz").status_code == 200
    assert again.send("/readyz").status_code == 503
    away = again.send("/api/v1/workers")
    assert (away.status_code, away.json()["type"]) == (503, "urn:afx:problem:unavailable")
    assert again.send("/api/v1/users").status_code == 200  # it needs the database only
    again.stop()
    assert "shown once" not in log.read_text()


def test_a_certificate_without_its_key_is_refused(home: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "api", "start", "--port", "0", "--certificate", "x.pem"],
        capture_output=True,
        text=True,
        env=environment(home),
        check=False,
        timeout=90,
    )
    assert done.returncode == 2 and "web_certificate_key" in done.stderr
