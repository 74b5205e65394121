"""Waiting for controls: the coordinator carries them out, the nodes acknowledge."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from afx.cluster.leadership import read_leader
from afx.errors import AfxError
from afx.operations.context import Context, operation
from afx.operations.controls import check_owner
from afx.operations.requests import Requested
from models.storage import controls

FINISHED = ("done", "failed", "cancelled")
_POLL_SECONDS = 0.1


@dataclass(slots=True, frozen=True)
class Progress:
    """How far the request for one target is."""

    target: str
    control: int | None
    state: str
    """A control's state; ``done`` when nothing had to be done."""
    note: str

    @property
    def finished(self) -> bool:
        """Whether it changes no more."""
        return self.control is None or self.state in FINISHED


@operation("control:read", owned=True)
def watch(
    context: Context,
    requested: Sequence[Requested],
    *,
    timeout: float,
    poll_seconds: float = _POLL_SECONDS,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[tuple[Progress, ...]]:
    """Yield how far requests are: at once, and then until all are finished or time is up.

    The last one that is yielded is the result. A timeout of 0 yields once. In a dry
    run nothing was requested, so nothing is waited for.
    """
    for it in requested:
        if it.control is not None and not context.dry_run:
            check_owner(context, it.control)
    return _snapshots(context, requested, clock() + timeout, poll_seconds, clock, sleep)


def leader_known(context: Context) -> bool:
    """Return whether a coordinator leads, as far as Redis can tell."""
    import redis

    try:
        return read_leader(context.servers.redis()) is not None
    except (AfxError, redis.RedisError):
        return False


def _snapshots(
    context: Context,
    requested: Sequence[Requested],
    until: float,
    poll_seconds: float,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> Iterator[tuple[Progress, ...]]:
    found: dict[int, Progress] = {}
    while True:
        for index, it in enumerate(requested):
            if index not in found or not found[index].finished:
                found[index] = _progress(context, it)
        yield tuple(found[index] for index in range(len(requested)))
        if all(it.finished for it in found.values()) or clock() >= until:
            return
        sleep(poll_seconds)


def _progress(context: Context, requested: Requested) -> Progress:
    if requested.control is None or context.dry_run:
        note = requested.note or "would be requested"
        return Progress(requested.target, None, "done", note)
    control = controls.get(requested.control)
    return Progress(requested.target, requested.control, control["state"], control["note"])
