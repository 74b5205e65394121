"""Held messages over random lives: nothing that nobody has approved is sent, and nothing twice."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from support.following import settled
from support.sandbox import SandboxHarness, run_scenario, until
from support.sessions import one_rule, say, texts

from afx.cluster.task_jobs import TaskJob
from afx.node.held_reports import HeldGone
from afx.node.session import HostedSession
from afx.reasons import HeldEnd, HeldEvent
from afx.sandbox.judge.flow import delete, edit
from afx.tasks.kinds import KINDS
from afx.tasks.kinds.base import TaskFailedError, TryAgainError
from afx.tasks.kinds.rule_approve import ApproveArguments, ApproveResult
from afx.tasks.run import Run

REVIEW: dict[str, Any] = {"options": {"review": True}}
STEPS = 24


class Life:
    """A session, and what SQL knows of its messages."""

    def __init__(self, sandbox: SandboxHarness, seed: int) -> None:
        self.sandbox = sandbox
        self.random = random.Random(seed)
        self.harness, self.account, self.source, self.to = one_rule(sandbox)
        self.harness.store = self._store
        self.fails = False
        """The next store fails: another node has the session."""
        self.states: dict[int, str] = {}
        self.versions: dict[int, int] = {}
        self.approved: set[int] = set()
        self.unfinished: list[tuple[int, ...]] = []
        self.posted = 0
        self.session: HostedSession

    async def begin(self) -> None:
        rule = (self.source, self.to, "copy", REVIEW)
        self.session = self.harness.session(self.account, rule, cursors=dict(self.harness.progress))
        await self.session.start()

    async def _store(self, session: HostedSession) -> bool:
        if self.fails:
            self.fails = False
            return False
        self.commit(session)
        return True

    def commit(self, session: HostedSession) -> None:
        """Store what there is; the leader reads the reports at once."""
        self.harness.commit(session)
        session.note_committed()
        reports, self.harness.held = self.harness.held, []
        for it in reports:
            if isinstance(it, HeldGone):
                ends = ("approved",) if it.end is HeldEnd.RELEASED else ("held", "approved")
                for number in it.messages:
                    if self.states.get(number) in ends:
                        self.states[number] = it.end.value
            elif it.event is HeldEvent.HELD:
                if self.states.setdefault(it.message, "held") == "held":
                    self.versions[it.message] = it.version
            elif self.states.get(it.message) == "held" or (
                it.event is HeldEvent.AGAIN and self.states.get(it.message) == "approved"
            ):
                self.states[it.message], self.versions[it.message] = "held", it.version

    async def approve(self, numbers: tuple[int, ...]) -> None:
        """Carry out a task; one that cannot be is tried again at the end."""
        route = {
            "source": self.source.marked,
            "destination": self.to.marked,
            "messages": numbers,
            "versions": [self.versions[it] for it in numbers],
        }
        arguments = ApproveArguments.model_validate({"rule": 1, "routes": [route]})
        try:
            result = await KINDS["rule.approve"].run(run_of(self.session), arguments)
        except TryAgainError:
            self.unfinished.append(numbers)
            await self.restart()
        else:
            assert isinstance(result, ApproveResult)

    def choose(self) -> tuple[int, ...]:
        held = sorted(it for it, state in self.states.items() if state == "held")
        chosen = tuple(it for it in held if self.random.random() < 0.6)
        for it in chosen:
            self.states[it] = "approved"
        self.approved |= set(chosen)
        return chosen

    async def restart(self) -> None:
        """End without a last commit, as a node that dies does."""
        await self.session.stop()
        self.session.collect_uncommitted()
        await self.begin()

    async def step(self) -> None:
        what = self.random.choice(
            ["say", "say", "approve", "approve", "twice", "edit", "delete", "commit", "die", "fail"]
        )
        present = sorted(self.source.box.messages)
        if what == "say":
            self.posted += 1
            say(self.sandbox, self.source, f"{self.posted}.")
        elif what == "edit" and present:
            number = self.random.choice(present)
            edit(self.sandbox.server, self.source.marked, 0, number, f"{number}. changed")
        elif what == "delete" and present and self.random.random() < 0.5:
            delete(self.sandbox.server, self.source.marked, 0, [self.random.choice(present)])
        elif what == "commit":
            await settled(self.session, self.source)
            self.commit(self.session)
        elif what == "die":
            await self.restart()
        elif what in ("approve", "twice", "fail") and (chosen := self.choose()):
            self.fails = what == "fail"
            await self.approve(chosen)
            if what == "twice":
                await self.approve(chosen)


def run_of(session: HostedSession) -> Run:
    job = TaskJob.__new__(TaskJob)
    run = Run.__new__(Run)
    for name, value in (("job", job), ("kind", KINDS["rule.approve"]), ("_session", session)):
        object.__setattr__(run, name, value)
    return run


def test_what_is_approved_for_a_chat_that_its_rule_left_is_not_sent_and_the_task_says_so() -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        it = Life(sandbox, 1)
        await it.begin()
        say(sandbox, it.source, "1.")
        await settled(it.session, it.source)
        it.commit(it.session)
        it.states[1] = "approved"
        route = {"source": it.source.marked, "messages": [1], "versions": [it.versions[1]]}
        routes = [{**route, "destination": to} for to in (-999, it.to.marked)]
        arguments = ApproveArguments.model_validate({"rule": 1, "routes": routes})
        with pytest.raises(TaskFailedError, match=r"does not forward from .* to -999 any more"):
            await KINDS["rule.approve"].run(run_of(it.session), arguments)
        await until(lambda: texts(it.to) == ["1."])
        await until(lambda: it.commit(it.session) or it.states == {1: "released"})
        assert not it.harness.dead
        await it.session.stop()

    run_scenario(scenario)


@pytest.mark.parametrize("seed", range(3))
def test_what_is_approved_is_sent_once_and_nothing_else(seed: int) -> None:
    async def scenario(sandbox: SandboxHarness) -> None:
        it = Life(sandbox, seed)
        await it.begin()
        it.commit(it.session)
        for _ in range(STEPS):
            await it.step()
            sent = {int(text.partition(".")[0]) for text in texts(it.to)}
            assert sent <= it.approved
        it.fails = False
        unfinished, it.unfinished = it.unfinished, []
        for numbers in unfinished:
            await it.approve(numbers)
        await settled(it.session, it.source)
        it.commit(it.session)
        while held := tuple(sorted(n for n, state in it.states.items() if state == "held")):
            for number in held:
                it.states[number] = "approved"
            it.approved |= set(held)
            await it.approve(held)
            await settled(it.session, it.source)
            it.commit(it.session)
        present = set(it.source.box.messages)

        def sent_once() -> bool:
            counts = Counter(int(text.partition(".")[0]) for text in texts(it.to))
            assert max(counts.values(), default=1) == 1, counts
            return present <= set(counts)

        await until(sent_once)
        assert set(it.states.values()) <= {"released", "deleted"}
        await it.session.stop()

    run_scenario(scenario)
