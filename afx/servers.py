"""The servers that a process uses: database, Redis, vault; opened lazily, closed together.

Imports are inside functions: the help of a command must not load a database driver.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from typing import TYPE_CHECKING

from afx.config import Settings, make_home
from afx.errors import AfxError, ConfigError, SecretError, UnreachableError

if TYPE_CHECKING:
    from redis import Redis

    from afx.operations.context import Actor, Context
    from afx.security.vault import Vault
    from afx.telegram.login import Server
    from models.timeouts import Timeouts


class _Database(Enum):
    """What this process has as its database."""

    CLOSED = 0
    EMPTY = 1
    """One in memory, in place of a file that does not exist."""
    OPEN = 2


class ProcessServers:
    """The servers of one process: each is opened when it is first needed.

    ``alone``: the process uses no database but that of the settings, and imports less.
    """

    def __init__(self, settings: Settings, *, alone: bool = False) -> None:
        self.settings = settings
        if alone and settings.database.startswith("sqlite:"):
            _leave_out_postgres()
        self._database = _Database.CLOSED
        self._redis: Redis | None = None
        self._redis_url = ""
        self._vault: Vault | None = None

    def __enter__(self) -> ProcessServers:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close what was opened here."""
        if self._redis is not None:
            self._redis.close()
            self._redis = None
        self._close_database()

    def context(self, actor: Actor, *, dry_run: bool = False, reason: str = "") -> Context:
        """Return what one actor's operations work with."""
        from afx.operations.context import Context

        return Context(actor, self, dry_run, reason)

    def open_database(
        self, *, create: bool, check: bool = True, timeouts: Timeouts | None = None
    ) -> None:
        """Open the database for this thread, unless it is open.

        The SQLite database of the home is created and brought up to date as needed.
        Without ``create`` no file appears: in place of a missing database of the
        home, an empty one in memory is read. ``check`` off: with any schema.
        ``timeouts`` are those of commands if not given.
        """
        from models import base
        from models.timeouts import FOR_COMMANDS

        if self._database is _Database.OPEN:
            base.proxy.connect(reuse_if_open=True)
            return
        if self._database is _Database.EMPTY:
            if not create:
                return
            self._close_database()
        elif base.is_open():
            return  # by the process that this one is part of: a lab, a test
        url = self.settings.database
        file = base.sqlite_file(url)
        own = not self.settings.database_url
        if create or file is None or file.exists():
            if own and create:
                make_home(self.settings.home)
            base.open_database(url, timeouts or FOR_COMMANDS)
            self._database = _Database.OPEN
        elif own:
            base.open_database("sqlite://")
            self._database = _Database.EMPTY
        else:
            raise AfxError(f"There is no database {file}; run 'afx db upgrade' to create it.")
        if check:
            with self.translating():
                self._check_schema(own=own, create=create)

    def redis_url(self, *, start: bool = False) -> str:
        """Return the Redis URL in force; ``start`` runs the private one if needed."""
        from afx.local import private_redis

        settings = self.settings
        if settings.redis_url:
            return settings.redis_url
        if start:
            private_redis.ensure(settings.home)
        elif not private_redis.is_running(settings.home):
            raise UnreachableError(
                f"No Redis runs under {settings.home}; start the cluster with 'afx up', "
                "or set AFX_REDIS_URL."
            )
        return private_redis.url_for(settings.home)

    def redis(self) -> Redis:
        """Return a client of the Redis in force."""
        if self._redis is None:
            from afx.cluster.connection import connect, not_redis, reachable

            self._redis_url = self.redis_url()
            client = connect(self._redis_url)
            try:
                # The greeting of another server breaks the client in many ways.
                with reachable(self._redis_url):
                    client.ping()
            except AfxError:
                client.close()
                raise
            except Exception as error:
                client.close()
                raise not_redis(self._redis_url) from error
            self._redis = client
        return self._redis

    def redis_if_running(self) -> Redis | None:
        """Return a client, or None when none is set and the private Redis does not run."""
        from afx.local import private_redis

        if not self.settings.redis_url and not private_redis.is_running(self.settings.home):
            return None
        return self.redis()

    def vault(self) -> Vault:
        """Return the vault of the keys in force."""
        if self._vault is None:
            from afx.security.vault import Vault

            self._vault = Vault(self._secret_keys(create=True))
        return self._vault

    def audit_keys(self, *, create: bool = True) -> list[bytes]:
        """Return the keys that seal the audit log, newest first."""
        from afx.security.keyfile import audit_keys

        return audit_keys(self._secret_keys(create=create))

    def secret_keys(self) -> list[str]:
        """Return the secret keys in force, newest first; raises SecretError without one."""
        return self._secret_keys(create=True)

    def telegram(self, *, sandbox: bool) -> tuple[int, str, Server | None]:
        """Return the API's id and hash, and the server of the home's sandbox, if that is wanted.

        Raises ConfigError without an id and a hash, UnreachableError without a sandbox.
        """
        api_id, api_hash = self.settings.api_id, self.settings.api_hash.get_secret_value()
        if sandbox:
            from afx.sandbox.client import server_of

            return api_id or 1, api_hash or "sandbox", server_of(self.settings.home)
        if not api_id or not api_hash:
            raise ConfigError(
                "Signing in needs AFX_API_ID and AFX_API_HASH; get both at https://my.telegram.org."
            )
        return api_id, api_hash, None

    def drop_connection(self) -> None:
        """Close this thread's connection to the database; the next operation opens a new one."""
        if self._database is _Database.OPEN:
            from contextlib import suppress

            from models import base

            with suppress(*base.DATABASE_ERRORS):
                base.proxy.close()

    @contextmanager
    def translating(self) -> Iterator[None]:
        """Turn errors of Redis and of the database inside the block into AfxErrors."""
        try:
            yield
        except AfxError:
            raise
        except Exception:
            from afx.cluster.connection import reachable
            from models.errors import translated

            with reachable(self._redis_url), translated():
                raise

    def _secret_keys(self, *, create: bool) -> list[str]:
        """Return the secret keys; makes one only for a database without sealed data.

        Raises SecretError when there is none and none may be made.
        """
        from afx.security.keyfile import KEY_FILE, read_keys

        secret = self.settings.secret_key.get_secret_value()
        path = self.settings.home / KEY_FILE
        if create and not secret and not path.exists() and self._has_sealed_data():
            raise SecretError(
                f"The secret key {path} is missing, and the database has logins or audit "
                "entries that were sealed with it. Put the file back from your copy, or set "
                "AFX_SECRET_KEY to the key; no new one is made."
            )
        return read_keys(self.settings.home, secret, create=create)

    def _has_sealed_data(self) -> bool:
        from models.storage import audit, proxies, sessions

        self.open_database(create=False)
        with self.translating():
            is_login = sessions.newest_login() is not None
            return is_login or audit.head()[0] > 0 or bool(proxies.listing(limit=1).rows)

    def _check_schema(self, *, own: bool, create: bool) -> None:
        from models import schema

        if not own:
            schema.check()
        elif create or schema.pending():
            schema.upgrade()

    def _close_database(self) -> None:
        if self._database is not _Database.CLOSED:
            from models import base

            base.close_database()
            self._database = _Database.CLOSED


def _leave_out_postgres() -> None:
    """Let the driver of Postgres seem not to be installed, unless it is loaded.

    Peewee loads it where it is installed: a fifth of the time of a command that uses SQLite.
    """
    if "peewee" not in sys.modules:
        sys.modules.setdefault("psycopg", None)  # type: ignore[arg-type]
