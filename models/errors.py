"""Database errors as sentences: by the code that the database gave, never by its words."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import peewee

from afx.errors import AfxError, StorageError, UnreachableError, UsageError

_PRIMARY = 0xFF


class UnstorableError(UsageError):
    """No column takes a value; nothing was changed."""


_SQLITE: dict[int, AfxError] = {
    sqlite3.SQLITE_FULL: StorageError(
        "The disk of the database is full; make room on it and try again."
    ),
    sqlite3.SQLITE_READONLY: StorageError(
        "The database file cannot be written: the file or its file system is read-only; "
        "correct its mode or owner, or set AFX_DATABASE_URL."
    ),
    sqlite3.SQLITE_CANTOPEN: StorageError(
        "The database file cannot be opened; check that its directory exists and that this "
        "account may read and write it, or set AFX_DATABASE_URL."
    ),
    sqlite3.SQLITE_CORRUPT: StorageError(
        "The database file is damaged; restore a backup with 'afx db restore' into a new file."
    ),
    sqlite3.SQLITE_NOTADB: StorageError(
        "The database file is not an SQLite database; correct AFX_DATABASE_URL, or move the "
        "file away and restore a backup with 'afx db restore'."
    ),
    sqlite3.SQLITE_IOERR: StorageError(
        "The disk of the database reports an error; check the disk and the system's log."
    ),
    sqlite3.SQLITE_BUSY: UnreachableError(
        "Another process keeps the database locked; try again, or end the process that uses it."
    ),
}
_SQLITE[sqlite3.SQLITE_PERM] = _SQLITE[sqlite3.SQLITE_CANTOPEN]
_SQLITE[sqlite3.SQLITE_AUTH] = _SQLITE[sqlite3.SQLITE_CANTOPEN]
_SQLITE[sqlite3.SQLITE_LOCKED] = _SQLITE[sqlite3.SQLITE_BUSY]

_POSTGRES: dict[str, AfxError] = {
    "53100": StorageError("The disk of the Postgres server is full; make room on it."),
    "53200": StorageError("The Postgres server is out of memory; give it more."),
    "53300": UnreachableError(
        "The Postgres server has no connection left; raise its max_connections."
    ),
    "25006": StorageError(
        "The Postgres server takes no writes (it is a replica, or read-only); "
        "set AFX_DATABASE_URL to the primary."
    ),
    "25P03": UnreachableError("Postgres ended a transaction that stood still; try again."),
    "42501": StorageError(
        "The Postgres role may not do this; grant it the rights on the database of afx."
    ),
    "58030": StorageError(
        "The disk of the Postgres server reports an error; check the disk and the server's log."
    ),
    "55P03": UnreachableError("Another transaction keeps a lock in Postgres; try again."),
    "40001": UnreachableError("Postgres ended the transaction for another one; try again."),
    "40P01": UnreachableError("Postgres ended the transaction for another one; try again."),
    "57014": UnreachableError("Postgres cancelled a statement that took too long; try again."),
    "57P01": UnreachableError("The Postgres server is shutting down; try again when it is back."),
    "57P02": UnreachableError("The Postgres server crashed; try again when it is back."),
    "57P03": UnreachableError("The Postgres server is starting or stopping; try again soon."),
    "3D000": UnreachableError(
        "The database does not exist on the Postgres server; create it, or correct "
        "AFX_DATABASE_URL."
    ),
    "28P01": UnreachableError("Postgres refused the password; correct AFX_DATABASE_URL."),
    "28000": UnreachableError("Postgres refused the role; correct AFX_DATABASE_URL."),
    "22003": UnstorableError("A number is too large; correct it."),
    "XX001": StorageError("Postgres found damaged data; restore a backup with 'afx db restore'."),
    "XX002": StorageError("Postgres found a damaged index; rebuild it with REINDEX."),
}


@contextmanager
def translated() -> Iterator[None]:
    """Raise what the database reports as an AfxError, when its code is known.

    StorageError for a database that answers and cannot do what was asked,
    UnreachableError for one that does not answer, UsageError for a value that no
    column takes. A broken constraint and a faulty statement pass unchanged.
    """
    try:
        yield
    except UnicodeEncodeError as error:
        raise UnstorableError("A text contains bytes that are not UTF-8; correct it.") from error
    except OverflowError as error:
        # SQLite's driver has no other sign of an integer above 64 bits.
        raise UnstorableError("A number is too large; correct it.") from error
    except (peewee.DatabaseError, peewee.InterfaceError) as error:
        if (known := explained(error)) is not None:
            raise known from error
        raise


def explained(error: Exception) -> AfxError | None:
    """Return the error that tells a person what a database error means, if known."""
    # Peewee keeps the driver's error in ``orig``.
    cause = getattr(error, "orig", error)
    code = getattr(cause, "sqlite_errorcode", None)
    state = getattr(cause, "sqlstate", None)
    if code == sqlite3.SQLITE_ERROR:
        # After a full disk SQLite has ended the transaction by itself, and Peewee's
        # ROLLBACK fails: then the error before it is the one to report.
        earlier = cause.__context__
        if isinstance(earlier, UnreachableError):
            return type(earlier)(*earlier.args)
        if isinstance(earlier, peewee.DatabaseError):
            return explained(earlier)
    known = _POSTGRES.get(state or "") if code is None else _of_sqlite(code)
    if known is None and (state or "").startswith("08"):
        known = UnreachableError("The connection to Postgres was lost; try again when it is back.")
    if known is not None:
        # A new object: an exception that is raised twice collects both tracebacks.
        return type(known)(*known.args)
    if not isinstance(error, peewee.OperationalError | peewee.InterfaceError):
        return None
    text = str(cause).partition("\n")[0]
    if code is None and state is None:
        return UnreachableError(f"The database does not answer ({text}); check AFX_DATABASE_URL.")
    return StorageError(f"The database refused a statement ({text}); nothing was written.")


def _of_sqlite(code: int) -> AfxError | None:
    # The shared memory of the log cannot grow: that is how a full disk looks to a reader.
    return _SQLITE.get(
        sqlite3.SQLITE_FULL if code == sqlite3.SQLITE_IOERR_SHMSIZE else code & _PRIMARY
    )
