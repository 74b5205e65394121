"""Nodes of this machine follow the recommendation: which are started, drained, kept, removed."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Any

import redis as redis_module
from support.registries import IDLE, identity

from afx.cluster import keys, scaling_record
from afx.cluster.registry import Registry
from afx.cluster.scaling_record import ScalingRecord
from afx.cluster.worker_records import WorkerView, parse_view
from afx.local.autoscaler import Autoscaler, Change, due_change
from afx.local.local_nodes import LocalNodes, owned

HOLD = ScalingRecord("hold", "steady", "steady", 1, 1, 1, 1, 4, 0, 0.0, 0.0)


def out(desired: int) -> ScalingRecord:
    return replace(HOLD, decision="out", desired=desired)


def scale_in(desired: int, *names: str) -> ScalingRecord:
    return replace(HOLD, decision="in", desired=desired, removable=names)


def view(name: str, state: str = "ready") -> WorkerView:
    return parse_view(name, {"incarnation": f"i-{name}", "state": state})


def change(record: ScalingRecord, *names: str, starting: int = 0, **changes: Any) -> Change:
    nodes = [view(it) for it in names]
    own = frozenset(it for it in names if owned(it))
    defaults = {"is_stopping": False, "most_own": 3}
    return due_change(record, nodes, own, starting=starting, **{**defaults, **changes})


def test_as_many_nodes_are_started_as_are_missing() -> None:
    assert change(out(3), "w1") == Change(start=2)
    assert change(out(3), "w1", starting=1) == Change(start=1)
    assert change(out(3), "w1", starting=2) == Change()
    assert change(HOLD, "w1") == Change()


def test_no_more_nodes_are_started_than_allowed_whatever_is_recommended() -> None:
    assert change(out(2**30), "w1") == Change(start=3)
    assert change(out(2**30), "w1", "auto1", "auto2", "auto3") == Change()


def test_a_cordoned_node_is_replaced_and_not_counted_as_starting() -> None:
    nodes = [view("w1"), view("auto1", "cordoned")]
    found = due_change(
        out(2), nodes, frozenset(("auto1",)), starting=0, is_stopping=False, most_own=3
    )
    assert found == Change(start=1)


def test_only_a_node_of_ours_that_the_leader_has_named_is_stopped() -> None:
    names = ("w1", "w2", "auto1", "auto2")
    assert change(scale_in(3, "w2", "auto2"), *names) == Change(stop="auto2")
    assert change(scale_in(3, "w2"), *names) == Change()
    assert change(scale_in(3), *names) == Change()
    assert change(replace(scale_in(3, "auto2"), decision="hold"), *names) == Change()


def test_an_alternative_is_stopped_when_the_named_node_is_not_ours() -> None:
    record = replace(scale_in(2, "w2"), alternatives=("w1", "auto1"))
    assert change(record, "w1", "w2", "auto1") == Change(stop="auto1")


def test_one_node_at_a_time_is_stopped_and_none_below_the_recommendation() -> None:
    record = scale_in(1, "auto1", "auto2")
    assert change(record, "w1", "auto1", "auto2", is_stopping=True) == Change()
    assert change(scale_in(3, "auto1"), "w1", "auto1", "auto2") == Change()


# --- the provider --------------------------------------------------------------------


@dataclass(slots=True)
class FakeChild:
    code: int | None = None

    def exit_code(self) -> int | None:
        return self.code


@dataclass(slots=True)
class FakeProcesses:
    children: dict[str, FakeChild] = field(default_factory=lambda: {"w1": FakeChild()})
    terminated: list[str] = field(default_factory=list)
    killed: list[str] = field(default_factory=list)
    is_exhausted: bool = False

    def start_node(self, name: str) -> None:
        if self.is_exhausted:
            raise OSError(11, "Resource temporarily unavailable")
        assert name not in self.children, "started twice"
        self.children[name] = FakeChild()

    def nodes(self) -> list[str]:
        return list(self.children)

    def terminate(self, name: str) -> None:
        self.terminated.append(name)

    def kill_tree(self, name: str) -> float:
        self.killed.append(name)
        del self.children[name]
        return 0.0


@dataclass(slots=True)
class FakeCommand:
    code: int | None = None
    killed: bool = False

    def poll(self) -> int | None:
        return self.code

    def kill(self) -> None:
        self.killed = True
        self.code = -9


class Setup:
    def __init__(self) -> None:
        self.now = 100.0
        self.lines: list[str] = []
        self.processes = FakeProcesses()
        self.commands: list[tuple[tuple[str, ...], FakeCommand]] = []
        self.nodes = LocalNodes(
            self.processes,  # type: ignore[arg-type]
            notify=self.lines.append,
            run=self.run,
            now=lambda: self.now,
        )

    def run(self, *words: str) -> FakeCommand:
        self.commands.append((words, FakeCommand()))
        return self.commands[-1][1]

    def asked(self) -> list[str]:
        return [" ".join(words[:3]) for words, _ in self.commands]

    def finish(self, code: int = 0) -> None:
        self.commands[-1][1].code = code
        self.nodes.step()

    def start(self, *taken: str) -> None:
        assert self.nodes.start(taken)


def test_a_node_gets_a_name_that_no_other_node_has() -> None:
    setup = Setup()
    setup.start("auto1", "auto3")
    setup.start("auto1", "auto3")
    assert setup.nodes.nodes() == {"auto2", "auto4"}


def test_a_node_is_drained_then_ended_then_removed() -> None:
    setup = Setup()
    setup.start()
    setup.nodes.stop("auto1")
    assert setup.nodes.nodes() == frozenset()
    setup.nodes.step()
    assert setup.processes.terminated == []
    setup.finish()
    assert setup.processes.terminated == ["auto1"]
    setup.processes.children["auto1"].code = 0
    setup.nodes.step()
    assert setup.asked() == ["worker drain auto1", "worker remove auto1"]
    setup.finish()
    assert not setup.nodes.is_stopping()
    assert setup.lines == ["auto1 has stopped and is removed"]


def test_a_node_that_cannot_be_emptied_stays() -> None:
    setup = Setup()
    setup.start()
    setup.nodes.stop("auto1")
    setup.finish(4)
    assert setup.asked()[-1] == "worker uncordon auto1"
    setup.finish()
    assert setup.nodes.nodes() == {"auto1"}
    assert setup.processes.terminated == []
    assert not setup.nodes.is_stopping()


def test_a_drain_that_hangs_is_given_up_and_the_node_stays() -> None:
    setup = Setup()
    setup.start()
    setup.nodes.stop("auto1")
    setup.now += 400
    setup.nodes.step()
    assert setup.commands[0][1].killed
    assert setup.asked()[-1] == "worker uncordon auto1"


def test_a_node_that_is_being_drained_is_kept_when_it_is_needed_again() -> None:
    setup = Setup()
    setup.start()
    assert not setup.nodes.keep()
    setup.nodes.stop("auto1")
    assert setup.nodes.keep()
    assert setup.commands[0][1].killed
    assert setup.nodes.nodes() == {"auto1"}
    assert not setup.nodes.keep()


def test_an_empty_node_that_does_not_end_is_killed() -> None:
    setup = Setup()
    setup.start()
    setup.nodes.stop("auto1")
    setup.finish()
    setup.now += 50
    setup.nodes.step()
    assert setup.processes.killed == ["auto1"]
    assert setup.asked()[-1] == "worker remove auto1"


def test_a_node_that_dies_while_it_is_drained_is_removed() -> None:
    setup = Setup()
    setup.start()
    setup.nodes.stop("auto1")
    setup.processes.children["auto1"].code = -9
    setup.nodes.step()
    assert setup.asked()[-1] == "worker remove auto1"
    setup.finish()
    assert setup.nodes.nodes() == frozenset()


def test_nodes_that_keep_failing_are_started_ever_more_slowly() -> None:
    setup = Setup()
    starts = 0
    for _ in range(600):
        setup.now += 1
        if not setup.nodes.nodes():
            starts += setup.nodes.start(())
        for name, child in setup.processes.children.items():
            child.code = 1 if name.startswith("auto") else None
        setup.nodes.step()
    assert 5 < starts < 20


def test_a_machine_that_starts_no_process_ends_nothing() -> None:
    setup = Setup()
    setup.start()

    def fails(*words: str) -> FakeCommand:
        raise OSError(11, "Resource temporarily unavailable")

    setup.nodes._run = fails
    setup.nodes.stop("auto1")
    setup.nodes.step()
    setup.nodes.step()
    assert setup.nodes.nodes() == {"auto1"}
    setup.processes.is_exhausted = True
    assert not setup.nodes.start(())
    assert any("cannot be started" in it for it in setup.lines)


class FakeProvider:
    """A provider that notes what it is asked."""

    def __init__(self) -> None:
        self.started = 0

    def nodes(self) -> frozenset[str]:
        return frozenset()

    def starting(self, live: Collection[str]) -> int:
        return self.started

    def is_stopping(self) -> bool:
        return False

    def start(self, taken: Collection[str]) -> bool:
        self.started += 1
        return True

    def stop(self, name: str) -> None:
        raise AssertionError("nothing is to be stopped")

    def keep(self) -> bool:
        return False

    def step(self) -> None:
        pass


def test_nothing_is_started_twice_nor_on_stale_or_malformed_figures(
    redis: redis_module.Redis,
) -> None:
    provider = FakeProvider()
    autoscaler = Autoscaler(provider, redis, most_own=9, notify=lambda _: None)
    redis.set(keys.TERM, 1)
    Registry(redis).register(identity(), IDLE)

    def publish(record: ScalingRecord) -> None:
        scaling_record.publish(redis, record, term=1, ttl_seconds=60)

    autoscaler.step()
    publish(replace(out(4), reason="stale"))
    autoscaler.step()
    redis.set(keys.SCALING, "{}")
    autoscaler.step()
    assert provider.started == 0
    publish(out(4))
    for _ in range(5):
        autoscaler.step()
    assert provider.started == 3
