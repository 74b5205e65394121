"""Acts on backups: made while the cluster runs, restored while it does not."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import redis

from afx.cluster import keys
from afx.cluster.connection import connect
from afx.cluster.registry import LIVE_STATES, Registry
from afx.config import Settings
from afx.errors import UsageError
from afx.local import private_redis
from afx.operations.change import Operator, change
from models import backup
from models.backup import Contents, Progress
from models.storage import audit


def make(operator: Operator, path: Path, progress: Progress, *, overwrite: bool) -> Contents:
    """Write a backup, and that it was made."""
    contents = backup.write(path, progress, overwrite=overwrite)
    with change(operator, "db.backup", str(path)[:200]) as details:
        details["rows"] = contents.rows
    return contents


@contextlib.contextmanager
def quiet_cluster(settings: Settings, *, force: bool) -> Iterator[redis.Redis | None]:
    """Make sure that no node and no coordinator lives; yields Redis, if there is one.

    Raises UsageError when one does, and when Redis cannot tell unless ``force``.
    A home whose private Redis does not run has no live node.
    """
    url = settings.redis_url
    if not url and not private_redis.is_running(settings.home):
        yield None
        return
    client = connect(url or private_redis.url_for(settings.home))
    try:
        try:
            nodes = [it.name for it in Registry(client).all() if it.state in LIVE_STATES]
            leads = bool(client.exists(keys.LEADER))
        except redis.RedisError as error:
            if not force:
                raise UsageError(
                    f"Redis cannot say whether nodes run ({error}); when you are sure that none "
                    "does, give --force."
                ) from error
            yield None
            return
        if nodes or leads:
            who = ", ".join(nodes[:5]) or "a coordinator"
            raise UsageError(f"The cluster runs ({who}); stop it first. Nothing was restored.")
        yield client
    finally:
        client.close()


def restore(operator: Operator, path: Path, progress: Progress, client: redis.Redis | None) -> None:
    """Replace the database's contents by a backup's, and note that in its audit log."""
    with change(operator, "db.restore", str(path)[:200]) as details:
        contents = backup.restore(path, progress)
        details.update({"rows": contents.rows, "created_at": contents.created_at})
    if client is not None and not operator.dry_run:
        # The log that the noted head belonged to is gone, by the operator's will.
        entries, digest = audit.head()
        client.set(keys.AUDIT_HEAD, f"{entries}:{digest}")
