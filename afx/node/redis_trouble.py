"""What hinders a node's use of Redis: logged once, and shown by the next heartbeat."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from afx.cluster.redis_faults import SENTENCES, RedisFault, fault_of

log = structlog.get_logger()


class RedisTrouble:
    """The faults of Redis that a process has met, by the work that met them."""

    def __init__(self, changed: Callable[[RedisFault | None], None]) -> None:
        """``changed`` is called with a fault that is under way, or with None for none."""
        self._changed = changed
        self._faults: dict[str, RedisFault] = {}

    def fault_in(self, work: str) -> RedisFault | None:
        """Return the fault that hinders a kind of work."""
        return self._faults.get(work)

    def failed(self, work: str, error: BaseException) -> None:
        """Note that some work has failed; logged when the fault begins or changes."""
        fault = fault_of(error)
        if self._faults.get(work) is fault:
            return
        self._faults[work] = fault
        log.warning(
            "redis_trouble", work=work, fault=fault, text=SENTENCES[fault], error=repr(error)
        )
        self._changed(fault)

    def passed(self, work: str) -> None:
        """Note that some work has succeeded; logged when it had failed before."""
        if self._faults.pop(work, None) is None:
            return
        log.info("redis_works_again", work=work)
        self._changed(next(iter(self._faults.values()), None))
