"""SQL that does not answer, or takes no writes, while a leader leads.

The leadership goes on: another coordinator has the same database. Until SQL is back the
leader observes the nodes and fences those that are silent; nothing else. When SQL is back without
commits that this term has made, the term ends.
"""

from __future__ import annotations

import structlog

from afx.cluster.leadership import Leadership
from afx.coordinator.fencing import fenced_transaction
from afx.errors import UnreachableError
from models.base import DATABASE_ERRORS, reopen_database

_RETRY_SECONDS = 0.5

SQL_ERRORS = (UnreachableError, *DATABASE_ERRORS)
"""What is raised while SQL is away."""

log = structlog.get_logger()


class DatabaseOutage:
    """Whether SQL is away, in one term."""

    def __init__(self, leadership: Leadership) -> None:
        self._leadership = leadership
        self._since: float | None = None
        self._retry_at = 0.0

    @property
    def is_on(self) -> bool:
        """Whether SQL was away when it was last tried."""
        return self._since is not None

    def begin(self, error: Exception, now: float) -> None:
        """Note that SQL has failed."""
        if self._since is None:
            self._since = now
            log.error("database_unreachable", reason=str(error).partition("\n")[0])
        self._retry_at = now + _RETRY_SECONDS

    def try_end(self, now: float) -> bool:
        """Return whether SQL takes writes again; it is asked from time to time.

        Raises FencedError when a newer term has begun, or SQL has lost commits.
        """
        if self._since is None:
            return True
        if now < self._retry_at:
            return False
        try:
            reopen_database()
            with fenced_transaction(self._leadership):
                pass  # It checks the term, and that no commit is lost.
        except SQL_ERRORS as error:
            self.begin(error, now)
            return False
        log.warning("database_back", seconds=round(now - self._since, 1))
        self._since = None
        return True
