"""Backups: made while the cluster runs, restored while it does not."""

from __future__ import annotations

from pathlib import Path

import redis

from afx.cluster import audit_heads, keys
from afx.cluster.registry import Registry
from afx.cluster.worker_records import LIVE_STATES
from afx.errors import UnreachableError, UsageError
from afx.operations.changes import change
from afx.operations.context import Context, operation
from models import backup
from models.backup import Contents, Progress
from models.storage import audit


@operation("database:write")
def make(context: Context, path: Path, progress: Progress, *, overwrite: bool) -> Contents:
    """Write a backup, and an audit entry that it was made."""
    contents = backup.write(path, progress, overwrite=overwrite)
    with change(context, "db.backup", str(path)[:200]) as details:
        details["rows"] = contents.rows
    return contents


@operation("database:read", database=False)
def check(context: Context, path: Path) -> Contents:
    """Return what a backup file contains; raises UsageError when it is none."""
    del context
    return backup.check(path)


@operation("database:write")
def restore(context: Context, path: Path, progress: Progress, *, force: bool = False) -> None:
    """Replace the database's contents by a backup's, and note that in its audit log.

    Raises UsageError when a node or a coordinator is running, and when Redis cannot
    tell unless ``force``. A home whose private Redis does not run has no running node.
    """
    client = _idle_cluster(context, force=force)
    with change(context, "db.restore", str(path)[:200]) as details:
        contents = backup.restore(path, progress)
        details.update({"rows": contents.rows, "created_at": contents.created_at})
    if client is not None and not context.dry_run:
        # The log that the noted head belonged to has been replaced, as requested.
        entries, digest = audit.head()
        key = context.servers.audit_keys()[0]
        client.set(keys.AUDIT_HEAD, audit_heads.sealed_head(entries, digest, key))


def _idle_cluster(context: Context, *, force: bool) -> redis.Redis | None:
    """Check that nothing of the cluster runs; returns Redis, if there is one."""
    try:
        client = context.servers.redis_if_running()
        if client is None:
            return None
        running = [it.name for it in Registry(client).all() if it.state in LIVE_STATES]
        if client.exists(keys.LEADER):
            running.append("a coordinator")
    except (UnreachableError, redis.RedisError) as error:
        if not force:
            raise UsageError(
                "Redis does not answer, so nodes may be running; make sure that none is, and "
                "give --force."
            ) from error
        return None
    if running:
        raise UsageError(
            f"The cluster runs ({', '.join(running[:5])}); stop it first. Nothing was restored."
        )
    return client
