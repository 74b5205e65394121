"""Arguments, settings and servers that a hostile or unlucky person gives, in real processes."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.cli_runs import COMMAND, Run, complains, environment, runner

from models import base
from models.storage import workers
from models.storage.workers import Seen

NOT_UTF8 = b"\xff\xfe".decode("utf-8", "surrogateescape")


@pytest.fixture
def afx(home: Path) -> Run:
    return runner(home)


@pytest.mark.parametrize(
    "command",
    [
        ("session", "show", NOT_UTF8),
        ("user", "list", "--after", NOT_UTF8),
        ("audit", "list", "--actor", NOT_UTF8),
        ("analytics", "export", "--worker", NOT_UTF8),
    ],
)
def test_an_argument_that_is_not_utf8_is_one_sentence(afx: Run, command: tuple[str, ...]) -> None:
    afx("user", "add", "alice")
    complains(afx(*command), 2, "not UTF-8")


@pytest.mark.parametrize("command", [("control", "show"), ("control", "cancel")])
def test_a_number_above_64_bits_is_one_sentence(afx: Run, command: tuple[str, ...]) -> None:
    complains(afx(*command, "9" * 30), 2, "too large")


@pytest.mark.parametrize("name", ["", "lowest"])
def test_a_queue_that_does_not_exist_is_not_asked_about(afx: Run, name: str) -> None:
    afx("user", "add", "alice")
    done = afx("queue", "purge", name)
    complains(done, 2, "no such queue")
    assert "?" not in done.stderr


def test_a_time_before_the_first_year_is_one_sentence(afx: Run) -> None:
    complains(afx("analytics", "workers", "--since", "999999d"), 2, "--since")


def test_settings_that_are_nested_too_deeply_are_one_sentence(afx: Run, home: Path) -> None:
    complains(afx("config", "check", AFX_LABELS="[" * 20000), 2, "labels")
    (home / "afx.toml").write_text(f"labels = {'[' * 5000}{']' * 5000}")
    complains(afx("config", "check"), 2, "nested too deeply")


def test_the_name_of_an_unknown_setting_moves_no_cursor(afx: Run, home: Path) -> None:
    (home / "afx.toml").write_text(r'"a\u001b[2J" = 1')
    done = afx("config", "check")
    complains(done, 2, "no such setting")
    assert "\x1b" not in done.stderr


@pytest.mark.parametrize(
    "url", ["postgresql://[bad", "postgresql://afx@127.0.0.1:99999/afx", "mysql://u:secretpw@x/y"]
)
def test_a_database_url_that_is_wrong_is_one_sentence_without_its_password(
    afx: Run, url: str
) -> None:
    done = afx("user", "list", "--database-url", url)
    complains(done, 2, "AFX_DATABASE_URL")
    assert "secretpw" not in done.stderr


@pytest.mark.parametrize("url", ["nonsense", "redis://[x", "redis://127.0.0.1:abc"])
def test_a_redis_url_that_is_wrong_is_one_sentence(afx: Run, url: str) -> None:
    complains(afx("worker", "list", "--redis-url", url), 3, "AFX_REDIS_URL")


@pytest.fixture
def server() -> Iterator[Callable[[bytes], int]]:
    """Start servers that answer everything with the same bytes; returns their ports."""
    listeners = []

    def start(answer: bytes) -> int:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)
        threading.Thread(target=_serve, args=(listener, answer), daemon=True).start()
        return int(listener.getsockname()[1])

    yield start
    for it in listeners:
        it.close()


def _serve(listener: socket.socket, answer: bytes) -> None:
    while True:
        try:
            connection, _ = listener.accept()
            with connection:
                while connection.recv(65536):
                    connection.sendall(answer)
        except OSError:
            if listener.fileno() < 0:
                return


@pytest.mark.parametrize(
    "answer",
    [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x00\xff\xfe\r\n", b"*2\r\n:1\r\n:2\r\n", b"$-1\r\n"],
)
def test_a_server_that_is_not_redis_is_one_sentence(
    afx: Run, server: Callable[[bytes], int], answer: bytes
) -> None:
    url = f"redis://127.0.0.1:{server(answer)}"
    complains(afx("worker", "list", "--redis-url", url), 3, "is not Redis")


def test_a_page_hint_can_be_pasted_into_a_shell(afx: Run) -> None:
    for name in ("a b", "c"):
        afx("user", "add", name)
    assert "--after 'a b'" in afx("user", "list", "-n", "1").stderr


def test_a_dry_run_in_an_unused_home_creates_nothing(afx: Run, home: Path) -> None:
    done = afx("user", "add", "alice", "--dry-run")
    assert "dry run" in done.stdout
    assert list(home.iterdir()) == []


def test_output_in_an_encoding_that_lacks_a_character_is_complete(afx: Run, home: Path) -> None:
    afx("user", "add", "émile")
    done = afx("user", "list", "--json", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert r"\u00e9mile" in done.stdout
    done = subprocess.run(
        [*COMMAND, "user", "show", "émile"],
        env=environment(home, PYTHONIOENCODING="ascii"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert r"\xe9mile" in done.stdout


def test_several_nodes_that_are_recycled_are_one_json_value(afx: Run, home: Path) -> None:
    afx("db", "upgrade")
    base.open_database(f"sqlite:///{home}/afx.db")
    workers.seen_many(Seen(name, "i", "h", "ready") for name in ("w1", "w2"))
    base.close_database()
    done = afx("worker", "recycle", "w1", "w2", "--dry-run", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert [it["target"] for it in json.loads(done.stdout)] == ["w1", "w2"]
