"""What tests share: homes, a Redis, databases, a sandbox, each its own."""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis as redis_module
from support.databases import open_sqlite
from support.left_out import LeftOut
from support.postgres import PostgresServer, postgres_server

from afx.cluster.connection import connect
from afx.local import private_redis


def pytest_configure(config: pytest.Config) -> None:
    """Find the tools of root where an ordinary PATH lacks them; name what does not run."""
    # Postgres as root needs useradd, the tests of machines need ip.
    os.environ["PATH"] = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
    config.pluginmanager.register(LeftOut(config), "left-out")
    if hasattr(config, "workerinput") or not config.getoption("numprocesses", 0):
        gc.disable()  # what is collected stays: see below


def pytest_collection_finish() -> None:
    """Leave out what was imported and collected from each later collection of garbage."""
    gc.enable()
    gc.freeze()


@pytest.fixture
def home() -> Iterator[Path]:
    """A home of a short path: unix sockets live in it."""
    path = Path(tempfile.mkdtemp(prefix="afx-t-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def _redis_home() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="afx-r-"))
    private_redis.ensure(path)
    client = connect(private_redis.url_for(path))
    # How often a second it ends waits whose time is over: 10 by default, however short they are.
    client.config_set("hz", 100)
    client.close()
    yield path
    private_redis.stop(path)
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def redis_url(_redis_home: Path) -> str:
    """A real Redis, empty; each test process has its own server."""
    url = private_redis.url_for(_redis_home)
    client = connect(url)
    client.flushall()
    client.close()
    return url


@pytest.fixture
def redis(redis_url: str) -> Iterator[redis_module.Redis]:
    """A client of the test's Redis."""
    client = connect(redis_url)
    yield client
    client.close()


@pytest.fixture(scope="session")
def _postgres_server() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


@pytest.fixture
def _postgres(_postgres_server: PostgresServer) -> str:
    """The URL of a database that tests share: each of them clears it first."""
    return _postgres_server.url


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, home: Path) -> Iterator[Any]:
    """A fresh database with the schema, on SQLite and on Postgres."""
    from models import base

    if request.param == "sqlite":
        yield open_sqlite(home)
    else:
        server: PostgresServer = request.getfixturevalue("_postgres_server")
        yield base.open_database(server.with_schema())
    base.close_database()
