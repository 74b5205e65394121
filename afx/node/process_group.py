"""The host processes of one node: one supervisor process watches over all of them.

Each host process has a supervisor of its own (``Supervisor``) on a thread: a name, a lease,
heartbeats and an incarnation. So one that dies costs its own sessions only, and the
coordinator places sessions on each by its own room.

A host dies with the thread that has started it (prctl(2), PR_SET_PDEATHSIG: "the parent" is
that thread). That thread waits for its end.
"""

from __future__ import annotations

import contextlib
import math
import queue
import signal
import threading
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from types import FrameType

import structlog

from afx.clock import SYSTEM_CLOCK, Clock
from afx.errors import NameTakenError
from afx.exposition import Labels, Metric
from afx.node import process_plan
from afx.node.death_watcher import SeenDeaths
from afx.node.process_plan import NodeStep, Phase, ProcessState
from afx.node.supervisor import Supervisor
from afx.node_settings import NodeSettings
from afx.probes import Probed, State, answering
from afx.process_names import process_name

_RETRY_SECONDS = 8.0
_ALIVE_SECONDS = 5.0
"""The loop runs at least so often, whatever happens."""
_STUCK_SECONDS = 15.0
"""The loop does nothing for so long only when it is stuck."""
_LEAST_PAUSE = 0.05
_RECYCLED_PAUSE = 0.5
"""While one waits for the others that are recycled with it."""
_LEAVING = ("draining", "recycling")

log = structlog.get_logger()


class _Process:
    """The supervisor of one host process, on its thread."""

    def __init__(
        self,
        number: int,
        supervisor: Supervisor,
        ended: queue.SimpleQueue[int],
        *,
        place: int,
        replaces: int = 0,
        is_first_try: bool = False,
    ) -> None:
        self.number = number
        self.place = place
        """Which share of what the node may use it has."""
        self.replaces = replaces
        """The number of the process of which it takes over the sessions; 0: none."""
        self.is_first_try = is_first_try
        """Whether it begins with the node: its name shows whether another node has the same."""
        self.supervisor = supervisor
        self.phase = Phase.RUNNING
        self.error: BaseException | None = None
        self.retry_at = 0.0
        """When it starts again after it has failed, monotonic seconds."""
        self.leaving_since = 0.0
        """Since when it is drained or recycled, monotonic seconds; 0: it is not."""
        self.ended_at = 0.0
        """When its end was seen, monotonic seconds."""
        self._ended = ended
        self._asked_to_stop = False
        self.thread = threading.Thread(target=self._serve, name=f"process {number}")
        self.thread.start()

    def stop(self) -> None:
        """Let it stop, if it runs; each call after the first does nothing."""
        if self.phase is Phase.RUNNING and not self._asked_to_stop:
            self._asked_to_stop = True
            self.supervisor.request_stop()

    def note(self, now: float) -> None:
        """Note at a moment, in monotonic seconds, whether it is being emptied, or has ended."""
        if self.phase is not Phase.RUNNING:
            self.ended_at = self.ended_at or now
        elif self.supervisor.desired_state not in _LEAVING:
            self.leaving_since = 0.0
        else:
            self.leaving_since = self.leaving_since or now

    def _serve(self) -> None:
        try:
            phase = Phase.RECYCLED if self.supervisor.serve() else Phase.STOPPED
        except BaseException as error:  # it is raised on the main thread
            self.error = error
            phase = Phase.FAILED
        self.phase = phase
        self._ended.put(self.number)


class ProcessGroup:
    """Runs one node, with as many host processes as its settings say."""

    def __init__(
        self, settings: NodeSettings, redis_url: str, node: str, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        count = process_plan.count(settings.processes, settings.max_sessions)
        self._settings = replace(settings, processes=count)
        self._redis_url = redis_url
        self._node = node
        self._clock = clock
        self._processes: dict[int, _Process] = {}
        self._changed: queue.SimpleQueue[int] = queue.SimpleQueue()
        """The number of a process that has ended, or 0."""
        self._seen_deaths = SeenDeaths()
        self._stopping = False
        self._waiting: list[int] = []
        """The numbers of the processes that begin once the first one has joined the cluster."""
        self._seen_at = clock.boottime()
        """When the loop last ran."""

    def request_stop(self, _signal: int = 0, _frame: FrameType | None = None) -> None:
        """Stop all sessions and end, as soon as that is possible."""
        self._stopping = True
        self._changed.put(0)

    def run(self) -> bool:
        """Run the node until a stop is requested, or its last process has ended.

        The first process has the node's name, and joins the cluster alone: the others begin
        after it, so that they never join beside those of another node with this name.

        Returns True when it was recycled, and has to be restarted. Raises the error of a
        process that could not join the cluster, when no other one runs; NameTakenError when
        another node has the name of one of those with which it begins.
        """
        signal.signal(signal.SIGTERM, self.request_stop)
        signal.signal(signal.SIGINT, self.request_stop)
        with answering(self._settings.metrics_address, self._probed()):
            try:
                self._waiting = list(range(2, self._settings.processes + 1))
                self._start(1, is_first_try=True)
                return self._watch()
            finally:
                # Whatever happened: no host outlives this process, and none is left unwatched.
                for it in self._processes.values():
                    it.stop()
                for it in self._processes.values():
                    it.thread.join()
                self._seen_deaths.close()

    def _watch(self) -> bool:
        while True:
            with contextlib.suppress(queue.Empty):
                self._changed.get(timeout=self._pause())
            self._seen_at = self._clock.boottime()
            if self._stopping:
                for it in self._processes.values():
                    it.stop()
            states = self._states()
            step = process_plan.next_step(states)
            if step is not NodeStep.CONTINUE:
                if step is NodeStep.FAIL and not self._stopping:
                    raise self._error()
                return step is NodeStep.RESTART and not self._stopping
            if self._stopping:
                continue
            self._start_waiting()
            for number in process_plan.to_stop(states):
                self._processes[number].stop()
            for number in process_plan.to_forget(states, self._clock.monotonic()):
                self._forget(number)
            for number in process_plan.to_start(states, self._clock.monotonic()):
                self._start_again(number)
            for number in process_plan.to_replace(states):
                self._replace(number)

    def _states(self) -> list[ProcessState]:
        processes = self._processes.values()
        for it in processes:
            it.note(self._clock.monotonic())
        successors = {it.replaces: it.number for it in processes if it.replaces}
        return [
            ProcessState(
                number=it.number,
                phase=it.phase,
                desired_state=it.supervisor.desired_state,
                replaced_by=successors.get(it.number, 0),
                replaces=it.replaces,
                leaving_since=it.leaving_since,
                ended_at=it.ended_at,
                name_taken=it.is_first_try and isinstance(it.error, NameTakenError),
            )
            for it in processes
        ]

    def _start_waiting(self) -> None:
        if self._waiting and self._processes[1].supervisor.has_joined:
            for number in self._waiting:
                self._start(number, is_first_try=True)
            self._waiting = []

    def _start(self, number: int, *, replaces: int = 0, is_first_try: bool = False) -> None:
        old = self._processes.get(replaces)
        before = self._processes.get(number)
        place = next((it.place for it in (before, old) if it), number)
        supervisor = Supervisor(
            self._settings,
            self._redis_url,
            process_name(self._node, number),
            self._clock,
            place=place,
            replaces=old.supervisor.incarnation if old else "",
            seen_deaths=self._seen_deaths,
            on_state=lambda: self._changed.put(0),
        )
        self._processes[number] = _Process(
            number,
            supervisor,
            self._changed,
            replaces=replaces if old else 0,
            place=place,
            is_first_try=is_first_try,
        )

    def _replace(self, number: int) -> None:
        """Start a process that takes over the sessions of another one, which then ends."""
        free = min(set(range(1, len(self._processes) + 2)) - self._processes.keys())
        name, successor = (process_name(self._node, it) for it in (number, free))
        log.info("process_replaced", process=name, successor=successor)
        self._processes[number].supervisor.retire()
        self._start(free, replaces=number)

    def _forget(self, number: int) -> None:
        """Forget a process that has ended, and does not begin again."""
        self._processes.pop(number).thread.join()
        for it in self._processes.values():
            if it.replaces == number:
                it.replaces = 0

    def _start_again(self, number: int) -> None:
        """Start a process that has ended; one that has failed after a pause."""
        process = self._processes[number]
        now = self._clock.monotonic()
        if process.phase is Phase.FAILED and not process.retry_at:
            process.retry_at = now + _RETRY_SECONDS
            name = process_name(self._node, number)
            log.error("process_failed", process=name, error=repr(process.error))
        if now >= process.retry_at:
            process.thread.join()
            self._start(number, replaces=process.replaces)

    def _pause(self) -> float:
        """Return for how many seconds nothing is due, unless something happens before."""
        if self._stopping:
            return _ALIVE_SECONDS  # nothing starts again
        if any(it.phase is Phase.RECYCLED for it in self._processes.values()):
            return _RECYCLED_PAUSE
        due = [it.retry_at for it in self._processes.values() if it.retry_at]
        left = min(due, default=math.inf) - self._clock.monotonic()
        return min(_ALIVE_SECONDS, max(_LEAST_PAUSE, left))

    def _error(self) -> BaseException:
        errors = [it.error for _, it in sorted(self._processes.items()) if it.error is not None]
        return next((it for it in errors if isinstance(it, NameTakenError)), errors[0])

    # --- probes: called on the thread that answers them ---------------------------------

    def _probed(self) -> Probed:
        return Probed(self._metrics, self._health, self._readiness)

    def _parts(self, *, only_running: bool = False) -> list[tuple[int, Probed]]:
        return [
            (it.number, it.supervisor.probed())
            for it in list(self._processes.values())
            if it.phase is Phase.RUNNING or not only_running
        ]

    def _metrics(self) -> Iterable[Metric]:
        return merged([part.metrics() for _, part in self._parts()])

    def _health(self) -> State:
        """It is sound while its loop runs and no process is stuck; one that has ended is not."""
        silent = self._clock.boottime() - self._seen_at
        if silent >= _STUCK_SECONDS:
            return State(False, f"the node's processes were last looked after {silent:.1f} s ago")
        running = [(number, it.health()) for number, it in self._parts(only_running=True)]
        return _worst(running) if running else State(True, "no process runs")

    def _readiness(self) -> State:
        """It is ready while one of its processes is."""
        found = [(number, part.readiness()) for number, part in self._parts()]
        return next((it for _, it in found if it.ok), _worst(found))


def merged(parts: Iterable[Iterable[Metric]]) -> list[Metric]:
    """Return the metrics of several processes, each metric once with all its series."""
    first: dict[str, Metric] = {}
    series: dict[str, list[tuple[Labels, float]]] = defaultdict(list)
    for part in parts:
        for it in part:
            first.setdefault(it.name, it)
            series[it.name] += it.series
    return [replace(it, series=tuple(series[name])) for name, it in first.items()]


def _worst(found: list[tuple[int, State]]) -> State:
    bad = [(number, it) for number, it in found if not it.ok]
    if not bad:
        return found[0][1] if found else State(False, "no process has begun")
    number, state = bad[0]
    return state if len(found) == 1 else State(False, f"process {number}: {state.detail}")
