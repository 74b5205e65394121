"""The state machine of a node's sessions, driven through every order of events."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from afx.node.residents import (
    Action,
    Begin,
    CancelStart,
    End,
    Failure,
    Phase,
    ReportFailed,
    ReportRunning,
    ReportStopped,
    Resident,
    Residents,
)
from afx.reasons import FailureReason, StopReason

SESSIONS = st.integers(1, 2)
EPOCHS = st.integers(1, 6)
FAILED = Failure(FailureReason.INTERNAL_ERROR)
LIMITS = settings(
    max_examples=100,
    stateful_step_count=30,
    deadline=None,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)


class Start:
    """A start under way; a cancelled one may still succeed or fail."""

    def __init__(self) -> None:
        self.cancelled = False

    def cancel(self) -> bool:
        self.cancelled = True
        return True


class Driver(RuleBasedStateMachine):
    """Does what the machine says, slowly, and judges what it reports."""

    make: Any = Residents

    @initialize()
    def begin(self) -> None:
        self.residents: Residents[object] = self.make()
        self.open: dict[int, int] = {}
        """session → the epoch whose connection exists, or may come to exist."""
        self.starts: dict[int, Resident[object]] = {}
        self.stops: dict[int, Resident[object]] = {}
        self.newest: Counter[int] = Counter()
        self.unanswered: set[tuple[str, int, int]] = set()

    # --- orders and events --------------------------------------------------------

    @rule(session=SESSIONS, epoch=EPOCHS)
    def order_start(self, session: int, epoch: int) -> None:
        accepted, actions = self.residents.order_start(session, epoch)
        if accepted:
            self.unanswered.add(("start", session, epoch))
        else:
            assert not actions
        self.do(actions)

    @rule(session=SESSIONS, epoch=EPOCHS)
    def order_stop(self, session: int, epoch: int) -> None:
        self.unanswered.add(("stop", session, epoch))
        self.do(self.residents.order_stop(session, epoch))

    @precondition(lambda self: self.starts)
    @rule(data=st.data())
    def start_succeeds(self, data: st.DataObject) -> None:
        resident = self.starts.pop(data.draw(st.sampled_from(sorted(self.starts))))
        self.do(self.residents.started(resident))

    @precondition(lambda self: self.starts)
    @rule(data=st.data())
    def start_fails(self, data: st.DataObject) -> None:
        session = data.draw(st.sampled_from(sorted(self.starts)))
        self.end(self.starts.pop(session), FAILED)

    @precondition(lambda self: any(it.start.cancelled for it in self.starts.values()))
    @rule(data=st.data())
    def cancelled_start_ends(self, data: st.DataObject) -> None:
        cancelled = [n for n, it in self.starts.items() if it.start.cancelled]  # type: ignore[union-attr]
        self.end(self.starts.pop(data.draw(st.sampled_from(sorted(cancelled)))), None)

    @precondition(lambda self: self.stops)
    @rule(data=st.data())
    def stop_ends(self, data: st.DataObject) -> None:
        self.end(self.stops.pop(data.draw(st.sampled_from(sorted(self.stops)))), None)

    @rule(session=SESSIONS, epoch=EPOCHS)
    def login_is_lost(self, session: int, epoch: int) -> None:
        self.do(self.residents.gave_up(session, epoch, FAILED))

    @rule(session=SESSIONS, epoch=EPOCHS)
    def redis_names_another_owner(self, session: int, epoch: int) -> None:
        self.do(self.residents.fenced(session, epoch))

    @rule()
    def close(self) -> None:
        self.do(self.residents.close())

    # --- what the machine says ------------------------------------------------------

    def end(self, resident: Resident[object], failure: Failure | None) -> None:
        del self.open[resident.session_id]
        self.do(self.residents.ended(resident, failure))

    def do(self, actions: list[Action[object]]) -> None:
        for action in actions:
            match action:
                case Begin(resident):
                    session = resident.session_id
                    assert session not in self.open, "two connections of one session"
                    assert resident.epoch > self.newest[session], "an epoch started again"
                    self.newest[session] = self.open[session] = resident.epoch
                    resident.start = Start()
                    self.starts[session] = resident
                case CancelStart(resident):
                    assert self.starts[resident.session_id] is resident
                    assert resident.start is not None
                    resident.start.cancel()
                case End(resident):
                    assert resident.session_id not in self.starts
                    assert resident.session_id not in self.stops
                    self.stops[resident.session_id] = resident
                case ReportRunning(session, epoch):
                    assert self.open.get(session) == epoch
                    assert session not in self.starts
                    self.unanswered.discard(("start", session, epoch))
                case ReportFailed(session, epoch):
                    assert session not in self.open
                    self.unanswered.discard(("start", session, epoch))
                case ReportStopped(session, epoch):
                    assert self.open.get(session, epoch + 1) > epoch, "it is not stopped"
                    self.unanswered.discard(("start", session, epoch))
                    self.unanswered.discard(("stop", session, epoch))

    @invariant()
    def counts_are_right(self) -> None:
        if not hasattr(self, "residents"):
            return
        records = [self.residents.get(it) for it in (1, 2)]
        phases = Counter(it.phase for it in records if it)
        assert self.residents.starting == phases[Phase.STARTING]
        assert self.residents.alive == sum(phases.values()) - phases[Phase.ENDED]
        assert self.residents.alive == len(self.open)

    def teardown(self) -> None:
        """The node closes, and what is under way ends: then each order has its answer."""
        if not hasattr(self, "residents"):
            return
        self.do(self.residents.close())
        while self.starts or self.stops:
            for session in list(self.starts):
                self.end(self.starts.pop(session), FAILED)
            for session in list(self.stops):
                self.end(self.stops.pop(session), None)
        assert not self.unanswered
        assert not self.open


class TestResidents(Driver.TestCase):  # type: ignore[misc, name-defined]
    """No schedule makes two connections, a wrong report, or an order without an answer."""

    settings = LIMITS


class StopsAtOnce(Residents[object]):
    """Answers a stop before the start under way has ended, as hosts once did."""

    def order_stop(
        self, session_id: int, epoch: int, reason: StopReason = StopReason.REQUESTED
    ) -> list[Action[object]]:
        actions = super().order_stop(session_id, epoch, reason)
        return [*actions, ReportStopped(session_id, epoch, reason)]


class ForgetsTheStart(Residents[object]):
    """Lets a newer epoch begin while an older start is under way, as hosts once did."""

    def order_start(self, session_id: int, epoch: int) -> tuple[bool, list[Action[object]]]:
        resident = self.get(session_id)
        if resident and resident.phase is Phase.STOPPING:
            del self._table[session_id]
        return super().order_start(session_id, epoch)


@pytest.mark.parametrize("broken", [StopsAtOnce, ForgetsTheStart])
def test_a_broken_machine_is_found_out(broken: type) -> None:
    class BrokenDriver(Driver):
        make = broken

    with pytest.raises((AssertionError, KeyError)):
        run_state_machine_as_test(BrokenDriver, settings=LIMITS)


def test_a_superseded_start_is_reported_before_the_next_one_begins() -> None:
    residents: Residents[object] = Residents()
    _, [begun] = residents.order_start(7, 5)
    assert isinstance(begun, Begin)
    begun.resident.start = Start()
    accepted, [cancelled] = residents.order_start(7, 6)
    assert accepted and isinstance(cancelled, CancelStart)
    stopped, again = residents.ended(begun.resident)
    assert stopped == ReportStopped(7, 5, StopReason.SUPERSEDED)
    assert isinstance(again, Begin) and again.resident.epoch == 6


def test_a_stop_of_a_failing_session_is_answered_besides_its_failure() -> None:
    residents: Residents[object] = Residents()
    _, [begun] = residents.order_start(7, 5)
    assert isinstance(begun, Begin)
    residents.started(begun.resident)
    residents.gave_up(7, 5, FAILED)
    assert residents.order_stop(7, 5) == []
    assert residents.ended(begun.resident) == [
        ReportFailed(7, 5, FAILED),
        ReportStopped(7, 5, StopReason.REQUESTED),
    ]


def test_a_login_lost_before_the_start_has_ended_is_reported_and_stops_it() -> None:
    """The session is connected, and waits until Redis has taken its position."""
    residents: Residents[object] = Residents()
    _, [begun] = residents.order_start(7, 5)
    assert isinstance(begun, Begin)
    assert residents.gave_up(7, 5, FAILED) == [CancelStart(begun.resident)]
    assert residents.ended(begun.resident) == [ReportFailed(7, 5, FAILED)]
    assert not residents.alive


def test_a_start_under_an_older_epoch_is_answered_once_the_session_has_ended() -> None:
    """SQL lost its last commits and names an epoch that was replaced here: it is free."""
    residents: Residents[object] = Residents()
    residents.order_stop(7, 5)
    answered = residents.order_start(7, 4)
    assert answered == (True, [ReportStopped(7, 4, StopReason.ALREADY_ENDED)])


def test_a_start_under_an_older_epoch_is_not_answered_while_the_session_runs() -> None:
    residents: Residents[object] = Residents()
    _, [begun] = residents.order_start(7, 5)
    assert isinstance(begun, Begin)
    residents.started(begun.resident)
    assert residents.order_start(7, 4) == (False, [])
    residents.order_stop(7, 5)
    assert residents.order_start(7, 4) == (True, [])
    assert residents.ended(begun.resident) == [
        ReportStopped(7, 4, StopReason.ALREADY_ENDED),
        ReportStopped(7, 5, StopReason.REQUESTED),
    ]
