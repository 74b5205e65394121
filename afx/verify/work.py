"""Tests 3, 6 and 8: what waits, tasks, and sessions that change their node."""

from __future__ import annotations

import statistics
from collections import Counter, deque
from collections.abc import Sequence

from afx.cluster import keys
from afx.cluster.leadership import read_leader
from afx.cluster.registry import Registry
from afx.cluster.worker_records import LIVE_STATES
from afx.errors import AfxError
from afx.operations import sessions, task_requests, tasks, waiting
from afx.operations.context import Context
from afx.operations.task_requests import TaskRequest
from afx.operations.tasks import TaskDetail
from afx.verify.canary import Canary, wait
from afx.verify.result import Findings, Target
from models.storage import assignments, queue

_PROBES = 5
_OWNERS_READ = 1000
_MOST_TAKEOVER = 15.0
_OVERFLOW_QUEUE = "rq:queue:overflow"


def overflow(target: Target, found: Findings) -> None:
    """Unschedulable sessions wait where people see them, and run as soon as they can."""
    client = target.context.servers.redis()
    wait(
        lambda: queue.count() == int(client.llen(_OVERFLOW_QUEUE)),
        "SQL's overflow queue and RQ's agree",
        target.seconds,
    )
    found.note(f"{queue.count()} sessions wait, in SQL and in RQ", waiting=queue.count())
    canary = target.canary
    if canary is None:
        found.not_done.append(f"no session was made to wait: {target.no_canary}")
        return
    name = canary.session
    seconds = wait(
        lambda: canary.state() == "waiting", "a session for no node waits", target.seconds
    )
    sessions.require(canary.context, name, {})
    back = wait(lambda: canary.state() == "running", "it runs again", target.seconds)
    copied = canary.forwards("after the overflow", target.seconds)
    found.note(
        f"a session that no node could take waited after {seconds:.1f} s, ran {back:.1f} s after "
        f"one could, and copied a message {copied:.2f} s after it was posted",
        wait_seconds=seconds,
        run_seconds=back,
        copy_seconds=copied,
    )


def task_execution(target: Target, found: Findings) -> None:
    """Tasks go to nodes in signed jobs, run, and answer."""
    context = target.context
    if read_leader(context.servers.redis()) is None:
        # They would wait in SQL, and there would be nothing to wait for here.
        found.require(False, "no coordinator leads, so no task can run; none was submitted")
        return
    ids = [
        it
        for _ in range(_PROBES)
        for it in task_requests.submit(
            context, TaskRequest(kind="task.probe", start_within_seconds=target.seconds)
        ).ids
    ]
    last = finished(context, ids, target.seconds)
    states = Counter(it.task.state for it in last)
    found.require(states["succeeded"] == _PROBES, f"of {_PROBES} probes: {dict(states)}")
    taken = [
        (it.task.finished_at - it.task.created_at).total_seconds()
        for it in last
        if it.task.finished_at is not None
    ]
    if taken:
        nodes = sorted({it.task.worker for it in last if it.task.worker})
        found.note(
            f"{states['succeeded']} probes ran on {', '.join(nodes)}; half took "
            f"{statistics.median(taken):.2f} s or less from request to result",
            probes=states["succeeded"],
            median_seconds=statistics.median(taken),
        )
    if target.canary is not None:
        _check_session(target, target.canary, found)


def _check_session(target: Target, canary: Canary, found: Findings) -> None:
    request = TaskRequest(
        kind="session.check",
        sessions=[canary.session],
        start_within_seconds=target.seconds,
    )
    ids = task_requests.submit(canary.context, request).ids
    last = finished(canary.context, ids, target.seconds)
    state = last[0].task.state
    found.require(state == "succeeded", f"a task of a session: {state} {last[0].task.error}")
    found.note("a session's task asked Telegram for its account")


def finished(context: Context, ids: Sequence[int], seconds: float) -> tuple[TaskDetail, ...]:
    """Return tasks as they are when all have finished, or the time is up."""
    [last] = deque(tasks.watch(context, ids, timeout=seconds), maxlen=1)
    return last


def recovery(target: Target, found: Findings) -> None:
    """Each session has one owner, SQL and Redis agree on it, and a move loses nothing."""
    context = target.context
    client = context.servers.redis()
    lease = context.settings.lease
    found.require(
        lease.takeover < _MOST_TAKEOVER, f"a takeover may take {lease.takeover:g} s, over 15 s"
    )
    found.require(read_leader(client), "no coordinator leads")

    def differing() -> list[int]:
        rows = assignments.active_page(0, _OWNERS_READ)
        pipe = client.pipeline(transaction=False)
        for it in rows:
            pipe.hmget(keys.assignment(it.session), ["incarnation", "epoch"])
        pairs = zip(rows, pipe.execute(raise_on_error=False), strict=True)
        return [it.session for it, got in pairs if list(got) != [it.incarnation, str(it.epoch)]]

    wait(lambda: not differing(), "owners and epochs in SQL and Redis agree", target.seconds)
    count = len(assignments.active_page(0, _OWNERS_READ))
    found.note(
        f"{count} sessions with one owner and epoch each, in SQL and Redis; takeover of a silent "
        f"node after {lease.takeover:g} s at most",
        owners=count,
        takeover_seconds=lease.takeover,
    )
    found.not_done.append("no node was killed")
    if target.canary is None:
        found.not_done.append(f"no session was moved: {target.no_canary}")
        return
    _move(target, target.canary, found)


def _move(target: Target, canary: Canary, found: Findings) -> None:
    nodes = Registry(target.context.servers.redis()).all()
    if sum(it.state == "ready" for it in nodes) < 2:
        live = sum(it.state in LIVE_STATES for it in nodes)
        found.not_done.append(f"no session was moved: there are {live} nodes")
        return
    wait(lambda: canary.state() == "running", "the canary runs", target.seconds)
    first = canary.node()
    requested = sessions.move(canary.context, canary.session)
    texts = [f"during the move {it}" for it in range(5)]
    for text in texts:
        canary.post(text)
    for _ in waiting.watch(canary.context, [requested], timeout=target.seconds):
        pass
    wait(lambda: canary.state() == "running", "it runs on another node", target.seconds)
    try:
        wait(
            lambda: all(canary.copies(it) for it in texts),
            "all messages are copied",
            target.seconds,
        )
    except AfxError as error:
        found.problems.append(str(error))
    doubled = [it for it in texts if canary.copies(it) > 1]
    found.require(not doubled, f"{len(doubled)} messages were copied twice")
    found.require(canary.node() != first, f"the session is still on {first}")
    found.note(f"a session moved from {first} to {canary.node()}: 5 messages, none lost or doubled")
