"""The private Redis of a home, and where its socket lies when the home's path is long."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afx.cluster.connection import connect
from afx.errors import ConfigError
from afx.local import private_redis, socket_directory


def process_id(home: Path) -> int:
    with contextlib.closing(connect(private_redis.url_for(home))) as client:
        return int(client.info("server")["process_id"])


@pytest.fixture
def deep(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home whose path is too long for a socket, and a place for short ones."""
    monkeypatch.setattr("tempfile.tempdir", str(home))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    path = home / ("d" * 60) / ("e" * 60)
    path.mkdir(parents=True)
    yield path
    with contextlib.suppress(ConfigError):
        private_redis.stop(path)


def test_it_is_started_once_and_keeps_its_data(home: Path) -> None:
    assert private_redis.ensure(home)
    assert not private_redis.ensure(home)
    with contextlib.closing(connect(private_redis.url_for(home))) as client:
        client.set("key", "value")
    assert private_redis.stop(home)
    assert not private_redis.stop(home)
    assert private_redis.ensure(home)
    with contextlib.closing(connect(private_redis.url_for(home))) as client:
        assert client.get("key") == "value"
    private_redis.stop(home)


def test_a_start_waits_until_the_data_are_loaded(home: Path) -> None:
    private_redis.ensure(home)
    with contextlib.closing(connect(private_redis.url_for(home))) as client:
        for first in range(0, 400_000, 4_000):
            client.eval(
                "for i = tonumber(ARGV[1]), ARGV[1] + 3999 do redis.call('SET', i, i) end",
                0,
                first,
            )
    private_redis.stop(home)
    assert private_redis.ensure(home)
    with contextlib.closing(connect(private_redis.url_for(home))) as client:
        assert client.dbsize() == 400_000
    private_redis.stop(home)


def test_its_files_are_readable_by_this_user_only(home: Path) -> None:
    mask = os.umask(0)
    try:
        private_redis.ensure(home)
    finally:
        os.umask(mask)
    with contextlib.closing(connect(private_redis.url_for(home))) as client:
        client.set("key", "value")
        client.bgrewriteaof()
    private_redis.stop(home)
    files = [it for it in (home / "redis").rglob("*") if it.is_file() and it.suffix != ".lock"]
    assert any("aof" in it.name for it in files)
    assert not [it for it in files if it.stat().st_mode & 0o077]


def test_a_data_directory_that_others_may_enter_is_refused(home: Path) -> None:
    (home / "redis").mkdir()
    (home / "redis").chmod(0o755)
    with pytest.raises(ConfigError, match="not a directory of this user alone"):
        private_redis.ensure(home)


def test_a_server_that_answers_slowly_listens_and_a_dead_one_does_not(home: Path) -> None:
    assert not private_redis.is_listening(home)
    private_redis.ensure(home)
    pid = process_id(home)
    os.kill(pid, signal.SIGSTOP)
    assert private_redis.is_listening(home)
    os.kill(pid, signal.SIGKILL)
    while private_redis.is_listening(home):
        pass
    assert private_redis.ensure(home)
    private_redis.stop(home)


def test_no_second_server_is_started_on_the_data_of_one_that_does_not_answer(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private_redis.ensure(home)
    pid = process_id(home)
    os.kill(pid, signal.SIGSTOP)
    monkeypatch.setattr(private_redis, "_START_SECONDS", 0.0)
    try:
        with pytest.raises(Exception, match="does not answer still runs"):
            private_redis.ensure(home)
    finally:
        os.kill(pid, signal.SIGCONT)
    while not private_redis.is_running(home):
        pass
    assert process_id(home) == pid
    private_redis.stop(home)


@given(st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), max_size=300))
def test_no_socket_path_is_too_long_for_the_kernel(name: str) -> None:
    path = private_redis.socket_path(Path("/home") / name)
    assert len(os.fsencode(path)) <= 107


def test_a_home_with_a_long_path_gets_a_short_socket_in_a_directory_of_mode_0700(
    deep: Path, home: Path
) -> None:
    assert private_redis.ensure(deep)
    directory = private_redis.socket_path(deep).parent
    assert directory.parent == home
    assert directory.stat().st_mode & 0o777 == 0o700


def test_the_runtime_directory_is_preferred_and_remembered(
    deep: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = home / "run"
    runtime.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    assert private_redis.ensure(deep)
    assert private_redis.socket_path(deep).parent.parent == runtime
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert private_redis.is_running(deep)


def test_a_runtime_directory_that_others_may_enter_is_not_used(
    deep: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = home / "run"
    runtime.mkdir()
    runtime.chmod(0o755)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    assert private_redis.socket_path(deep).parent.parent == home


@pytest.mark.parametrize("how", ["open to others", "a symbolic link", "a file", "another user's"])
def test_a_short_directory_that_another_user_could_have_made_is_refused(
    deep: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = private_redis.socket_path(deep).parent
    if how == "a symbolic link":
        target = deep / "elsewhere"
        target.mkdir(mode=0o700)
        directory.symlink_to(target)
    elif how == "a file":
        directory.write_text("")
    else:
        directory.mkdir(mode=0o700)
    if how == "open to others":
        directory.chmod(0o755)
    if how == "another user's":
        monkeypatch.setattr(socket_directory, "is_private", lambda path: path != directory)
    for act in (private_redis.ensure, private_redis.is_running, private_redis.stop):
        with pytest.raises(ConfigError, match="not a directory of this user alone"):
            act(deep)
