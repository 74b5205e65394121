"""A word to the leader that there is something to do.

Every operation that changes anything imports this, and commands that only read import
operations that change: what speaks to Redis is imported when it is needed.
"""

from __future__ import annotations

import contextlib

from afx.errors import AfxError
from afx.operations.context import Context
from models.base import in_transaction


def wake_leader(context: Context) -> None:
    """Let the leader look for tasks and controls now, after the change is committed.

    Without this, one of its next ticks finds them. In a transaction it does nothing: what is
    not committed cannot be seen, and no lock is to wait for Redis.
    """
    if not context.dry_run and not in_transaction():
        import redis

        from afx.cluster import report_stream

        with contextlib.suppress(AfxError, redis.RedisError):
            report_stream.publish(context.servers.redis(), [])
