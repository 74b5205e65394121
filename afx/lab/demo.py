"""The demo: a cluster at work, a node killed, and the ledger's verdict."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from afx.cluster.worker_records import WorkerView
from afx.lab.accounts import LabSession, alternate_modes
from afx.lab.cluster import LabCluster
from afx.lab.failover import Failover, wait_recovered
from afx.lab.report import figures
from afx.lab.waiting import wait_until
from afx.sandbox.judge.verdict import Verdict

Phase = Literal["starting", "placing", "forwarding", "failing over", "finishing", "done"]
_KILL_SHARE = 0.4
"""The node is killed when this share of the messages is posted."""
_SETTLE_SECONDS = 1.0
_POLL_SECONDS = 0.1
_HINT = "Use --keep, and read the cluster's log."


@dataclass(slots=True)
class DemoState:
    """The demo at a moment."""

    phase: Phase = "starting"
    sessions: int = 0
    posted: int = 0
    messages: int = 0
    verdict: Verdict = field(default_factory=Verdict)
    nodes: list[WorkerView] = field(default_factory=list)
    killed: str = ""
    log: list[str] = field(default_factory=list)
    """What happened so far, one line each."""


@dataclass(slots=True, frozen=True)
class DemoResult:
    """The figures of a demo; all but the moment of detection come from the ledger."""

    workers: int
    sessions: int
    verdict: Verdict
    failover: Failover | None
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Return plain values, with the verdict's figures among the others."""
        return {
            "workers": self.workers,
            "sessions": self.sessions,
            **figures(self.verdict),
            "failover": asdict(self.failover) if self.failover else None,
            "seconds": self.seconds,
        }


class Demo:
    """One demo in a lab that is open and empty."""

    def __init__(
        self,
        lab: LabCluster,
        *,
        workers: int,
        sessions: int,
        messages: int,
        rate: float,
        kill: bool,
        show: Callable[[DemoState], None] = lambda _: None,
    ) -> None:
        """``show`` is called several times a second."""
        self._lab = lab
        self._workers = workers
        self._rate = rate
        self._kill = kill
        self._show = show
        self._state = DemoState(messages=messages, sessions=sessions)

    def run(self) -> DemoResult:
        """Run the demo from start to end."""
        begun = time.monotonic()
        self._update("starting", "a local Telegram, Redis and a database are up")
        self._start()
        state, lab = self._state, self._lab
        lab.expect_copies()
        lab.post(state.messages, self._rate)
        posting_seconds = 30 + state.messages / self._rate
        failover = None
        if self._kill and state.messages:
            self._wait(
                "forwarding",
                "messages flow",
                lambda: lab.posted() >= state.messages * _KILL_SHARE,
                posting_seconds,
            )
            failover = self._lose_node()
        self._wait("forwarding", "all messages are posted", lab.all_posted, posting_seconds)
        self._finish()
        return DemoResult(
            self._workers,
            state.sessions,
            lab.judge(),
            failover,
            round(time.monotonic() - begun, 1),
        )

    def _start(self) -> None:
        lab, workers, sessions = self._lab, self._workers, self._state.sessions
        lab.processes.start_coordinator()
        lab.processes.start_nodes(workers)
        self._wait("starting", "all nodes register", lambda: len(lab.nodes()) >= workers, 60)
        lab.add_sessions(sessions, mode=alternate_modes)
        self._update(
            "placing", f"{workers} nodes have registered; {sessions} sessions are being placed"
        )
        self._wait(
            "placing",
            "all sessions run",
            lambda: lab.running() >= sessions,
            60 + sessions / 20,
        )
        self._update("forwarding", f"all {sessions} sessions run; messages start to flow")

    def _lose_node(self) -> Failover:
        """Kill the busiest node, and wait until its sessions forward again."""
        lab = self._lab
        node = lab.busiest_node()
        killed_at, victims = lab.kill_node(node)
        self._state.killed = node
        detected = lab.wait_detected(node) - killed_at
        self._update(
            "failing over",
            f"{node} was killed (SIGKILL to all its processes) with {len(victims)} sessions",
            f"the coordinator detected it after {detected:.2f} s",
        )
        post_once = _PostOnce(lab, victims)

        def meanwhile() -> None:
            post_once()
            self._update("failing over")

        recovered = wait_recovered(lab, killed_at, victims, meanwhile=meanwhile) - killed_at
        self._update("forwarding", f"all its sessions forward again after {recovered:.2f} s")
        return Failover(node, len(victims), round(detected, 3), round(recovered, 3))

    def _finish(self) -> None:
        """Wait for the last copies, and a moment more, in which a double would come."""
        self._update("finishing", "all messages are posted; waiting for the last copies")
        until = time.monotonic() + 30
        while self._lab.judge().lost and time.monotonic() < until:
            self._update("finishing")
            time.sleep(_POLL_SECONDS)
        time.sleep(_SETTLE_SECONDS)
        self._update("done")

    def _update(self, phase: Phase, *lines: str) -> None:
        state = self._state
        state.phase = phase
        state.log += lines
        state.nodes = self._lab.nodes()
        state.posted = self._lab.posted()
        state.verdict = self._lab.judge()
        self._show(state)

    def _wait(self, phase: Phase, what: str, done: Callable[[], bool], seconds: float) -> None:
        wait_until(
            done,
            what=what,
            seconds=seconds,
            poll_seconds=_POLL_SECONDS,
            hint=_HINT,
            meanwhile=lambda: self._update(phase),
        )


class _PostOnce:
    """Posts one more message to each source when all others are posted.

    Without it, a session to whose source nothing more is posted could not show that
    it forwards again.
    """

    def __init__(self, lab: LabCluster, sessions: Sequence[LabSession]) -> None:
        self._lab = lab
        self._sessions = sessions
        self._is_done = False

    def __call__(self) -> None:
        """Post if it is time and it was not done before."""
        if self._is_done or not self._lab.all_posted():
            return
        self._is_done = True
        for it in self._sessions:
            self._lab.sandbox.call("post", chat=it.source, text=f"one more for {it.account}")
