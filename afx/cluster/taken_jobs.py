"""Which jobs a node has taken, so that none is taken twice: bounded in memory, at any rate."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from afx.cluster.refused_jobs import RefusalReason, RefusedJobError

_CLOCK_SECONDS = 300.0
"""Jobs are remembered for so long after they have expired: a clock may be set back."""


@dataclass(slots=True)
class _Second:
    """The jobs that were signed in one second."""

    nonces: set[str] = field(default_factory=set)
    until: float = 0.0
    """When the last of them expires."""


class TakenJobs:
    """The nonces of jobs that are still valid, by the second in which they were signed.

    There may be more of them than it remembers. Then it forgets those that were signed first,
    and takes none any more that was signed as early: whether such a job was taken it does not
    know. The coordinator signs it again.
    """

    def __init__(self, limit: int) -> None:
        """``limit`` is how many nonces are remembered."""
        self._limit = limit
        self._seconds: dict[int, _Second] = {}
        self._count = 0
        self._forgotten_until = -math.inf
        """Jobs that were signed before this second are not taken."""
        self._matters_until = -math.inf
        """When the last job that was forgotten expires."""

    def __len__(self) -> int:
        return self._count

    def claim(self, nonce: str, *, issued: float, expires: float, now: float) -> None:
        """Note that a job is taken now; raises RefusedJobError when it was, or may have been.

        All times are wall-clock seconds; ``issued`` and ``expires`` are the signer's, and the
        job has not expired.
        """
        second = math.floor(issued)
        its = self._seconds.get(second)
        if its is None:
            self._forget_expired(now)
            if second < self._forgotten_until:
                raise RefusedJobError(
                    RefusalReason.EXPIRED,
                    "The job was signed before others that have been forgotten; it may have been"
                    " taken. The coordinator sends it again.",
                )
            its = _Second()
        if nonce in its.nonces:
            raise RefusedJobError(RefusalReason.REPLAYED, "The job was taken before.")
        self._seconds[second] = its
        its.nonces.add(nonce)
        its.until = max(its.until, expires)
        self._count += 1
        while self._count > self._limit and len(self._seconds) > 1:
            self._forget_first()

    def _forget_expired(self, now: float) -> None:
        before = now - _CLOCK_SECONDS
        for second in [it for it, its in self._seconds.items() if its.until < before]:
            self._count -= len(self._seconds.pop(second).nonces)
        if self._matters_until < before:
            self._forgotten_until = -math.inf

    def _forget_first(self) -> None:
        first = min(self._seconds)
        its = self._seconds.pop(first)
        self._count -= len(its.nonces)
        self._forgotten_until = max(self._forgotten_until, first + 1)
        self._matters_until = max(self._matters_until, its.until)
