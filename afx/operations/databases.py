"""The database itself: its schema."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from afx.errors import UsageError
from afx.operations.context import Context, operation
from models import schema


@dataclass(slots=True, frozen=True)
class Migration:
    """One migration, and when it was applied."""

    name: str
    applied_at: datetime | None


@dataclass(slots=True, frozen=True)
class DatabaseStatus:
    """Which migrations the database has, and which it lacks."""

    migrations: tuple[Migration, ...]
    pending: tuple[str, ...]


@operation("database:read", database=False)
def status(context: Context) -> DatabaseStatus:
    """Return the migrations that this version knows, applied or not."""
    context.servers.open_database(create=False, check=False)
    found = tuple(Migration(**row) for row in schema.status())
    return DatabaseStatus(found, tuple(it.name for it in found if not it.applied_at))


@operation("database:write", database=False)
def upgrade(context: Context) -> list[str]:
    """Bring the database to this version's schema; returns the migrations applied."""
    context.servers.open_database(create=not context.dry_run, check=False)
    return schema.pending() if context.dry_run else schema.upgrade()


@operation("database:read", database=False)
def revertible(context: Context, to: str = "") -> list[str]:
    """Return the migrations that a downgrade back through ``to`` reverts, newest first.

    Empty: the newest one alone. Raises UsageError when there is none, or ``to`` is
    not applied.
    """
    context.servers.open_database(create=False, check=False)
    applied = schema.applied()
    if not applied:
        raise UsageError("The database has no migration to revert.")
    if to and to not in applied:
        raise UsageError(f"'{to}' is not applied; 'afx db status' shows what is.")
    return applied[applied.index(to) if to else -1 :][::-1]


@operation("database:write", database=False)
def downgrade(context: Context, to: str = "") -> list[str]:
    """Revert migrations back through ``to``; returns those that were reverted."""
    reverted = revertible(context, to)
    return reverted if context.dry_run else schema.downgrade(to or None)
