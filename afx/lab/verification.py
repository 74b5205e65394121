"""The nine tests on a cluster of their own, in which nodes may be filled, recycled and killed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from afx.cluster import keys, queues, refused_jobs
from afx.cluster.quarantine import refused_count
from afx.lab.accounts import LabSession, alternate_modes
from afx.lab.cluster import LabCluster
from afx.lab.failover import wait_recovered
from afx.operations import task_requests, waiting, workers
from afx.operations.context import Actor
from afx.operations.task_requests import TaskRequest
from afx.servers import ProcessServers
from afx.verify.canary import canary, wait
from afx.verify.result import Check, Findings, Result, Target
from afx.verify.run import CHECKS, run
from afx.verify.work import finished

VARIABLES = {"AFX_MAX_SESSIONS": "10"}
"""Settings of the cluster: small nodes are full soon."""
_NODES = 3
_SESSIONS = 24
_MORE_SESSIONS = 10
_MORE_NODES = 2
_MESSAGES = 400
_RATE = 100.0
_TASKS = 50
_SECONDS = 60.0
_MIB = 1024 * 1024
_LARGEST_IMBALANCE = 1.5


class Verification:
    """Runs the tests on a lab that is open and empty, and does the harm that they leave out."""

    def __init__(self, lab: LabCluster, *, show: Callable[[str], None]) -> None:
        """``show`` gets one line for each step."""
        self._lab = lab
        self._show = show
        self._registered_seconds = 0.0

    def run(self) -> Iterator[Result]:
        """Yield the result of each test."""
        lab = self._lab
        begun = time.monotonic()
        lab.processes.start_coordinator()
        lab.processes.start_nodes(_NODES)
        port = _free_port()
        lab.processes.start_api(port)
        lab.wait_nodes(_NODES)
        self._registered_seconds = time.monotonic() - begun
        self._show(f"{_NODES} nodes have registered")
        lab.add_sessions(_SESSIONS, mode=alternate_modes)
        lab.wait_running()
        lab.expect_copies()
        self._show(f"{_SESSIONS} sessions run")
        settings = lab.settings.model_copy(update={"redis_url": lab.redis_url})
        with ProcessServers(settings) as servers:
            context = servers.context(Actor("verify"), reason="afx verify --full")
            with canary(context, lab.sandbox.call) as it:
                target = Target(context, f"http://127.0.0.1:{port}", it, seconds=_SECONDS)
                lab.wait("the API answers", lambda: _answers(port), _SECONDS)
                yield from run(target, [self._both(number) for number in range(1, 10)])

    def _both(self, number: int) -> Check:
        """Return a test that is followed by what would harm a cluster in use."""
        harm = {
            1: self._register,
            2: self._balance,
            3: self._fill,
            5: self._recycle,
            6: self._many_tasks,
            8: self._kill,
            9: self._forge,
        }.get(number)

        def both(target: Target, found: Findings) -> None:
            CHECKS[number - 1](target, found)
            if harm is not None:
                harm(target, found)

        return both

    def _register(self, target: Target, found: Findings) -> None:
        del target
        found.note(
            f"{_NODES} nodes registered {self._registered_seconds:.1f} s after they were started, "
            "with coordinator and API",
            registered_seconds=self._registered_seconds,
        )

    def _balance(self, target: Target, found: Findings) -> None:
        del target
        counts = [len(self._lab.owned_by(it.name)) for it in self._lab.nodes()]
        ratio = max(counts) / (sum(counts) / len(counts))
        found.require(ratio <= _LARGEST_IMBALANCE, f"the nodes have {counts} sessions")
        found.note(f"{_SESSIONS} sessions were placed as {counts}", placed_ratio=ratio)

    def _fill(self, target: Target, found: Findings) -> None:
        """Add more sessions than fit, then nodes: the sessions run."""
        del target
        lab = self._lab
        added = lab.add_sessions(_MORE_SESSIONS, mode=alternate_modes)
        lab.expect_copies(added)
        left = len(lab.sessions) + 1 - _NODES * int(VARIABLES["AFX_MAX_SESSIONS"])
        lab.wait(f"{left} sessions wait", lambda: _waiting(lab) >= left, _SECONDS)
        over = [it.name for it in lab.nodes() if it.assigned > it.max_sessions]
        found.require(not over, f"{', '.join(over)} has more sessions than it may have")
        self._show(f"{left} sessions wait; {_MORE_NODES} nodes are started")
        begun = time.monotonic()
        lab.processes.start_nodes(_MORE_NODES, first=_NODES + 1)
        lab.wait_running(seconds=_SECONDS)
        seconds = time.monotonic() - begun
        found.note(
            f"{left} sessions waited while all nodes were full, and ran {seconds:.1f} s after "
            f"{_MORE_NODES} nodes were started",
            filled_waiting=left,
            relieved_seconds=seconds,
        )

    def _recycle(self, target: Target, found: Findings) -> None:
        """Recycle a node while messages flow."""
        lab = self._lab
        node = lab.busiest_node()
        before = next(it.metrics.rss for it in lab.nodes() if it.name == node)
        lab.post(_MESSAGES, _RATE)
        begun = time.monotonic()
        requested = workers.recycle_processes(target.context, node)
        state = ""
        for progress in waiting.watch(target.context, requested, timeout=_SECONDS):
            state = ", ".join(sorted({it.state for it in progress}))
        found.require(state == "done", f"the recycle of {node} is {state}")
        seconds = time.monotonic() - begun
        self._judge(found, f"{node} was recycled in {seconds:.1f} s under {_RATE:g} messages a s")
        after = next((it.metrics.rss for it in lab.nodes() if it.name == node), 0)
        found.note(
            f"its RSS was {before / _MIB:.0f} MiB before and {after / _MIB:.0f} MiB afterwards",
            recycle_seconds=seconds,
            rss_before_mib=before / _MIB,
            rss_after_mib=after / _MIB,
        )
        found.not_done.clear()

    def _many_tasks(self, target: Target, found: Findings) -> None:
        context = target.context
        begun = time.monotonic()
        ids = [
            it
            for _ in range(_TASKS)
            for it in task_requests.submit(context, TaskRequest(kind="task.probe")).ids
        ]
        last = finished(context, ids, _SECONDS)
        done = sum(it.task.state == "succeeded" for it in last)
        found.require(done == _TASKS, f"{done} of {_TASKS} tasks succeeded")
        seconds = time.monotonic() - begun
        found.note(f"{done} tasks in {seconds:.1f} s", tasks=done, tasks_seconds=seconds)

    def _kill(self, target: Target, found: Findings) -> None:
        """SIGKILL a node while messages flow."""
        del target
        lab = self._lab
        lab.post(_MESSAGES, _RATE)
        lab.wait("messages flow", lambda: lab.posted() >= _MESSAGES // 4, _SECONDS)
        node = lab.busiest_node()
        killed_at, victims = lab.kill_node(node)
        detected = lab.wait_detected(node) - killed_at
        recovered = wait_recovered(lab, killed_at, victims, meanwhile=self._post(victims))
        found.require(detected < 15, f"the loss of {node} was detected after {detected:.1f} s")
        self._judge(
            found,
            f"{node} was killed with {len(victims)} sessions, which was detected after "
            f"{detected:.2f} s; they forwarded again after {recovered - killed_at:.2f} s",
        )
        found.figures |= {
            "detected_seconds": round(detected, 3),
            "recovered_seconds": round(recovered - killed_at, 3),
        }
        found.not_done[:] = [it for it in found.not_done if it != "no node was killed"]

    def _post(self, victims: list[LabSession]) -> Callable[[], None]:
        """Return what posts once more to sessions that would show nothing otherwise."""
        lab, state = self._lab, {"posted": False}

        def post() -> None:
            if not state["posted"] and lab.all_posted():
                state["posted"] = True
                lab.post(len(victims), _RATE, victims)

        return post

    def _forge(self, target: Target, found: Findings) -> None:
        """Put an unsigned job and a malformed report into Redis."""
        client = target.context.servers.redis()
        jobs, reports = refused_jobs.count(client), refused_count(client)
        node = self._lab.nodes()[0]
        queue = queues.node(node.name, node.incarnation)
        client.hset("rq:job:forged", mapping={"origin": queue, "status": "queued", "data": "{}"})
        client.rpush(f"rq:queue:{queue}", "forged")
        client.xadd(keys.REPORTS, {"reports": "forged"})
        seconds = wait(
            lambda: refused_jobs.count(client) > jobs and refused_count(client) > reports,
            "a forged job and a forged report are refused",
            _SECONDS,
        )
        self._judge(found, f"a forged job and report were refused within {seconds:.1f} s")

    def _judge(self, found: Findings, what: str) -> None:
        """Wait until all copies are there, and let the ledger judge."""
        verdict = self._lab.wait_delivered(_SECONDS)
        found.require(
            verdict.is_clean,
            f"{verdict.lost} lost, {verdict.duplicated} doubled, {verdict.out_of_order} out of "
            f"order, {verdict.revoked} revoked",
        )
        found.note(
            f"{what}; {verdict.delivered} copies, lost {verdict.lost}, doubled "
            f"{verdict.duplicated}, logins revoked {verdict.revoked}",
            delivered=verdict.delivered,
            lost=verdict.lost,
            doubled=verdict.duplicated,
            revoked=verdict.revoked,
        )


def _waiting(lab: LabCluster) -> int:
    from models.storage import queue

    del lab
    return queue.count()


def _free_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def _answers(port: int) -> bool:
    import socket

    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
