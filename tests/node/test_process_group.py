"""The host processes of a node together: what they show, and when they begin and end."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from afx.clock import Clock
from afx.config import load
from afx.errors import NameTakenError
from afx.exposition import Metric, lines
from afx.node import process_group
from afx.node.process_group import ProcessGroup, merged
from afx.probes import Probed, State


def metric(node: str, value: float) -> Metric:
    return Metric("afx_node_ready", "gauge", "Whether it is ready.", (((("node", node),), value),))


def test_a_metric_of_several_processes_has_one_type_and_all_series() -> None:
    shown = list(lines(merged([[metric("w1", 1)], [metric("w1.2", 0)]])))
    assert shown == [
        "# HELP afx_node_ready Whether it is ready.",
        "# TYPE afx_node_ready gauge",
        'afx_node_ready{node="w1"} 1',
        'afx_node_ready{node="w1.2"} 0',
    ]


class Time:
    """Stands still until it is set."""

    now = 1000.0

    def read(self) -> float:
        return self.now


class FakeSupervisor:
    """A process without a host: it does what ``Fakes.does`` says of its name."""

    def __init__(self, fakes: Fakes, name: str, place: int, on_state: Callable[[], None]) -> None:
        self.name = name
        self.place = place
        self.incarnation = f"of {name}"
        self.desired_state = "ready"
        self.has_joined = False
        self.stops = 0
        self.is_alive = True
        self.retired = False
        self._fakes = fakes
        self._on_state = on_state
        self._ended = threading.Event()
        self._outcome: bool | Exception = False
        fakes.made.append(self)

    def serve(self) -> bool:
        outcome = self._fakes.does.get(self.name)
        if outcome is None:
            self.has_joined = True
            self._on_state()
            assert self._ended.wait(60)
            outcome = self._outcome
        self.is_alive = False
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def request_stop(self) -> None:
        self.stops += 1
        if self._fakes.ends_at_once:
            self.end()

    def retire(self) -> None:
        self.retired = True

    def enter(self, state: str) -> None:
        self.desired_state = state
        self._on_state()

    def end(self, outcome: bool | Exception = False) -> None:
        self._outcome = outcome
        self._ended.set()

    def probed(self) -> Probed:
        state = State(self.is_alive, f"{self.name} is {'alive' if self.is_alive else 'stuck'}")
        return Probed(list, lambda: state, lambda: state)


@dataclass
class Fakes:
    time: Time = field(default_factory=Time)
    does: dict[str, bool | Exception] = field(default_factory=dict)
    """What a process does at once; one that is not named runs until it is to end."""
    made: list[FakeSupervisor] = field(default_factory=list)
    ends_at_once: bool = True
    probes: list[Probed] = field(default_factory=list)
    outcome: bool | Exception | None = None
    group: ProcessGroup | None = None
    thread: threading.Thread | None = None

    def start(self, processes: int) -> ProcessGroup:
        settings = replace(load().for_node(), processes=processes)
        self.group = group = ProcessGroup(settings, "", "w", Clock(self.time.read, self.time.read))
        self.thread = threading.Thread(target=self._run)
        self.thread.start()
        return group

    def _run(self) -> None:
        assert self.group is not None
        try:
            self.outcome = self.group.run()
        except Exception as error:
            self.outcome = error

    def ended(self) -> bool | Exception | None:
        """Return what the group's run has returned or raised."""
        assert self.thread is not None
        self.thread.join(60)
        return self.outcome

    @property
    def names(self) -> list[str]:
        return [it.name for it in self.made]

    def close(self) -> None:
        if self.group is not None and self.thread is not None:
            self.ends_at_once = True
            self.group.request_stop()
            for it in self.made:
                it.end()
            self.thread.join(60)


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Fakes]:
    made = Fakes()

    def supervisor(_s: Any, _u: str, name: str, _c: Clock, **more: Any) -> FakeSupervisor:
        return FakeSupervisor(made, name, more["place"], more["on_state"])

    def answering(_address: str, probed: Probed) -> contextlib.AbstractContextManager[None]:
        made.probes.append(probed)
        return contextlib.nullcontext()

    monkeypatch.setattr(process_group, "Supervisor", supervisor)
    monkeypatch.setattr(process_group, "answering", answering)
    monkeypatch.setattr(process_group.signal, "signal", lambda *_: None)
    yield made
    made.close()


def until(what: Callable[[], Any]) -> None:
    end = time.monotonic() + 60
    while not what():
        assert time.monotonic() < end
        time.sleep(0.002)


def by_name(group: ProcessGroup) -> dict[str, Any]:
    return {it.supervisor.name: it for it in group._processes.values()}  # type: ignore[attr-defined]


@pytest.mark.parametrize("outcome", [False, True, OSError("no host")])
def test_a_process_that_has_ended_does_not_make_its_node_unhealthy(
    fakes: Fakes, outcome: bool | Exception
) -> None:
    fakes.does["w.2"] = outcome
    group = fakes.start(2)
    until(lambda: "w.2" in by_name(group) and by_name(group)["w.2"].phase != "running")
    assert not by_name(group)["w.2"].supervisor.is_alive
    assert fakes.probes[0].health().ok


def test_a_node_is_unhealthy_when_a_running_process_or_its_own_loop_is_stuck(fakes: Fakes) -> None:
    group = fakes.start(2)
    until(lambda: len(by_name(group)) == 2)
    fakes.made[1].is_alive = False
    assert fakes.probes[0].health() == State(False, "process 2: w.2 is stuck")
    fakes.made[1].is_alive = True
    assert fakes.probes[0].health().ok
    fakes.close()  # from here on the loop does nothing
    fakes.time.now += 60
    assert not fakes.probes[0].health().ok


def test_the_first_process_joins_before_the_others_begin(fakes: Fakes) -> None:
    taken = NameTakenError("a node named w is running already")
    fakes.does["w"] = taken
    fakes.start(4)
    assert (fakes.ended(), fakes.names) == (taken, ["w"])


def test_a_node_ends_when_another_one_has_the_name_of_one_of_its_processes(fakes: Fakes) -> None:
    taken = NameTakenError("a node named w.2 is running already")
    fakes.does["w.2"] = taken
    fakes.start(3)
    assert fakes.ended() is taken
    assert not any(it.is_alive for it in fakes.made)


def test_a_node_that_stops_asks_each_process_once_and_waits_at_rest(fakes: Fakes) -> None:
    fakes.does["w.2"] = OSError("no host")
    fakes.ends_at_once = False
    group = fakes.start(2)
    until(lambda: "w.2" in by_name(group) and by_name(group)["w.2"].retry_at)
    fakes.does["w.2"] = False
    for _ in range(50):
        group.request_stop()
    fakes.time.now += 60  # the failed one would be due
    until(lambda: group._changed.empty() and fakes.made[0].stops)
    assert fakes.made[0].stops == 1 and fakes.made[1].stops == 0
    assert group._pause() > 1
    fakes.made[0].end()
    assert fakes.ended() is False
    assert fakes.names == ["w", "w.2"]


def test_processes_whose_ends_come_before_the_news_restart_as_a_whole(fakes: Fakes) -> None:
    group = fakes.start(2)
    until(lambda: len(by_name(group)) == 2)
    fakes.made[0].enter("recycling")
    fakes.made[0].end(True)
    until(lambda: by_name(group)["w"].ended_at)
    fakes.made[1].enter("recycling")
    fakes.made[1].end(True)
    assert (fakes.ended(), fakes.names) == (True, ["w", "w.2"])


def test_a_recycled_process_starts_again_beside_one_that_is_drained_for_long(fakes: Fakes) -> None:
    group = fakes.start(3)
    until(lambda: len(by_name(group)) == 3)
    fakes.made[1].enter("draining")
    until(lambda: by_name(group)["w.2"].leaving_since)
    fakes.time.now += 60
    fakes.made[2].enter("recycling")
    fakes.made[2].end(True)
    until(lambda: by_name(group)["w.3"].ended_at)
    fakes.time.now += 5
    until(lambda: fakes.names == ["w", "w.2", "w.3", "w.3"])


def test_a_process_that_replaces_another_one_has_its_share_of_the_node(fakes: Fakes) -> None:
    group = fakes.start(2)
    until(lambda: len(by_name(group)) == 2)
    fakes.made[0].enter("replacing")
    until(lambda: "w.3" in by_name(group))
    assert [it.place for it in fakes.made] == [1, 2, 1] and fakes.made[0].retired


def test_a_successor_that_fails_while_the_old_one_ends_is_the_only_one_that_begins_again(
    fakes: Fakes,
) -> None:
    group = fakes.start(2)
    until(lambda: len(by_name(group)) == 2)
    fakes.does["w.3"] = OSError("no memory")
    fakes.made[0].enter("replacing")
    until(lambda: "w.3" in by_name(group) and by_name(group)["w.3"].retry_at)
    fakes.made[0].end(True)
    until(lambda: "w" not in by_name(group))
    del fakes.does["w.3"]
    fakes.time.now += 60
    until(lambda: fakes.names == ["w", "w.2", "w.3", "w.3"])
    assert set(by_name(group)) == {"w.2", "w.3"}


def test_a_node_that_is_stopped_while_a_successor_begins_ends(fakes: Fakes) -> None:
    group = fakes.start(1)
    until(lambda: len(by_name(group)) == 1)
    fakes.made[0].enter("replacing")
    until(lambda: "w.2" in by_name(group))
    fakes.made[0].enter("stopping")
    fakes.made[0].end(False)
    assert (fakes.ended(), fakes.names) == (False, ["w", "w.2"])
