"""What becomes of a node when one of its host processes ends: pure decisions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Phase(StrEnum):
    """What the supervisor of one host process does."""

    RUNNING = "running"
    """It runs one incarnation after another."""
    STOPPED = "stopped"
    """It was requested to stop, and has."""
    RECYCLED = "recycled"
    """It was recycled: its host has ended, and the next one has not begun."""
    FAILED = "failed"
    """It cannot start a host, or join the cluster."""


class NodeStep(StrEnum):
    """What the node as a whole does next."""

    CONTINUE = "continue"
    END = "end"
    RESTART = "restart"
    """As a whole, with the program that is on the disk by then."""
    FAIL = "fail"


@dataclass(slots=True, frozen=True, kw_only=True)
class ProcessState:
    """One host process of a node."""

    number: int
    phase: Phase
    desired_state: str = "ready"
    replaced_by: int = 0
    """The number of the process that takes over its sessions; 0: none."""
    replaces: int = 0
    """The number of the process of which it takes over the sessions; 0: none."""
    name_taken: bool = False
    """It was to begin with the node, and another node has its name."""
    leaving_since: float = 0.0
    """Since when it has been drained or recycled, monotonic seconds; 0: it is not."""
    ended_at: float = 0.0
    """When it ended, monotonic seconds, unless it runs."""


_NEWS_SECONDS = 3.0
"""All processes of a node learn within so long what was requested of the node."""
_TOGETHER_SECONDS = 10.0
"""Processes that are recycled together begin to be emptied within so long of each other.

The leader tells all of them in one tick, and each learns of it by its next heartbeat, half a
second later. A leader that dies between two of them is followed by another within
``leader_ttl_seconds`` (5) and a tick. No setting is longer by intent: what comes later was
requested by itself, a second ``recycle`` for instance. A node that judges it wrongly loses
nothing: its processes restart one by one, with the program that is running, not the one on disk.
"""
_MOST_WAIT_SECONDS = 900.0
"""A process that was recycled waits no longer for the others of its node."""


def count(processes: int, max_sessions: int) -> int:
    """Return how many processes a node begins with: each has room for a session at least."""
    return max(1, min(processes, max_sessions))


def share(total: int, processes: int, place: int) -> int:
    """Return what the process at a place, from 1, has of a limit of its node.

    The shares of all places are the whole. One that replaces another one takes its place.
    """
    whole, rest = divmod(total, processes)
    return whole + (place <= rest)


def next_step(processes: Sequence[ProcessState]) -> NodeStep:
    """Return what the node does, after the last of its processes has ended.

    Two nodes of one name are a mistake of their operator: the one that comes second ends.
    So does a node that was stopped while another of its processes was between two hosts.
    """
    if any(it.name_taken for it in processes):
        return NodeStep.FAIL
    phases = {it.phase for it in processes}
    if Phase.RUNNING in phases:
        return NodeStep.CONTINUE
    stopped = [it.ended_at for it in processes if it.phase is Phase.STOPPED]
    others = [it.ended_at for it in processes if it.phase is not Phase.STOPPED]
    if stopped and others and max(stopped) > max(others):
        return NodeStep.END
    if Phase.RECYCLED in phases:
        return NodeStep.RESTART
    return NodeStep.FAIL if Phase.FAILED in phases else NodeStep.END


def to_start(processes: Sequence[ProcessState], now: float) -> list[int]:
    """Return the numbers of the processes that start again while the node goes on.

    One that failed starts again, and one that was recycled alone. Those that are recycled
    together wait for the last one: then the node restarts as a whole. ``now`` is in monotonic
    seconds.
    """
    running = {it.number: it for it in processes if it.phase is Phase.RUNNING}
    if not running:
        return []
    stopped = {it.number for it in processes if it.phase is Phase.STOPPED}
    return [
        it.number
        for it in processes
        if (not it.replaced_by or it.replaced_by in stopped)
        and it.replaces not in stopped
        and (
            it.phase is Phase.FAILED
            or (it.phase is Phase.RECYCLED and not _waits(it, running.values(), now))
        )
    ]


def _waits(process: ProcessState, running: Iterable[ProcessState], now: float) -> bool:
    """Return whether a process that was recycled may have been recycled with its node.

    One that is drained for long, and has no room elsewhere, is not waited for; nor is one
    whose recycle failed, which is drained no longer.
    """
    waited = now - process.ended_at
    if waited < _NEWS_SECONDS or waited >= _MOST_WAIT_SECONDS:
        return waited < _NEWS_SECONDS
    begun = process.leaving_since or process.ended_at
    return any(
        it.desired_state == "stopping"
        or (it.leaving_since and abs(it.leaving_since - begun) <= _TOGETHER_SECONDS)
        for it in running
    )


def to_replace(processes: Sequence[ProcessState]) -> list[int]:
    """Return the numbers of the processes for which a successor is to start."""
    return [
        it.number
        for it in processes
        if it.phase is Phase.RUNNING and it.desired_state == "replacing" and not it.replaced_by
    ]


def to_forget(processes: Sequence[ProcessState], now: float) -> list[int]:
    """Return the numbers of the processes that have ended, and do not begin again.

    Those have a successor, which runs or is tried again, or are one of a process that was
    stopped. A successor that was stopped is forgotten when the one that it replaces goes on,
    which then gets another one: ``now``, in monotonic seconds, is late enough for the news
    that both are to stop.
    """
    by_number = {it.number: it for it in processes}

    def is_over(it: ProcessState) -> bool:
        if it.phase in (Phase.RECYCLED, Phase.FAILED) and it.replaced_by:
            return by_number[it.replaced_by].phase is not Phase.STOPPED
        old = by_number.get(it.replaces)
        if it.phase is Phase.RUNNING or old is None:
            return False
        if old.phase is Phase.STOPPED:
            return True
        return (
            it.phase is Phase.STOPPED
            and (old.phase, old.desired_state) == (Phase.RUNNING, "replacing")
            and now - it.ended_at >= _NEWS_SECONDS
        )

    return [it.number for it in processes if is_over(it)]


def to_stop(processes: Sequence[ProcessState]) -> list[int]:
    """Return the numbers of the processes that take over for one that was stopped."""
    stopped = {it.number for it in processes if it.phase is Phase.STOPPED}
    return [it.number for it in processes if it.phase is Phase.RUNNING and it.replaces in stopped]
