"""What a node does with each of its sessions: a state machine without I/O.

Events go in (orders, and what became of the work that was begun), actions come out.
There is one record per session, and one piece of work per record at any time:

    ENDED ──start──► STARTING ──started──► RUNNING
                        │                     │
                  stop, superseded,     stop, superseded,
                  fenced, closing       fenced, gave up, closing
                        │                     │
                        └──────► STOPPING ◄───┘ ──ended──► ENDED

A start under way is cancelled, never abandoned: the record leaves STARTING and
STOPPING only when the driver says ``ended``, which it does once no connection of the
session exists or can come to exist. Only then is an end reported, and only then
does a start under a newer epoch begin.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, Protocol, TypeVar

from afx.reasons import FailureReason, StopReason

S = TypeVar("S")


class Phase(StrEnum):
    """What happens to a session on this node."""

    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    ENDED = "ended"


class Cancellable(Protocol):
    """A start under way, as its driver holds it."""

    def cancel(self) -> bool:
        """Ask it to end early."""


@dataclass(slots=True, frozen=True)
class Failure:
    """Why a session ended by itself."""

    reason: FailureReason
    text: str = ""


@dataclass(slots=True, eq=False)
class Resident(Generic[S]):
    """The record of one session."""

    session_id: int
    epoch: int
    """The epoch under which it runs; when it has ended, the newest that has."""
    phase: Phase = Phase.ENDED
    newest: int = 0
    """The newest epoch of any order; older orders are refused."""
    next_epoch: int = 0
    """The epoch to start under once the present one has ended; 0 for none."""
    failure: Failure | None = None
    """Why it is stopping, when it does so by itself."""
    answers: dict[int, StopReason] | None = None
    """Epochs to report as stopped once this one has ended."""
    start: Cancellable | None = None
    """The start under way; set by the driver."""
    session: S | None = None
    """What runs; set by the driver."""


@dataclass(slots=True, frozen=True)
class Begin(Generic[S]):
    """Start the session, then call ``started`` or ``ended``."""

    resident: Resident[S]


@dataclass(slots=True, frozen=True)
class CancelStart(Generic[S]):
    """Cancel the start under way; it still ends with ``started`` or ``ended``."""

    resident: Resident[S]


@dataclass(slots=True, frozen=True)
class End(Generic[S]):
    """Stop the session, then call ``ended``."""

    resident: Resident[S]


@dataclass(slots=True, frozen=True)
class ReportRunning:
    """Report that a session runs."""

    session_id: int
    epoch: int


@dataclass(slots=True, frozen=True)
class ReportStopped:
    """Report that a session has stopped under an epoch."""

    session_id: int
    epoch: int
    reason: StopReason


@dataclass(slots=True, frozen=True)
class ReportFailed:
    """Report that a session has ended by itself."""

    session_id: int
    epoch: int
    failure: Failure


Action = Begin[S] | CancelStart[S] | End[S] | ReportRunning | ReportStopped | ReportFailed


@dataclass(slots=True)
class Residents(Generic[S]):
    """The records of all sessions that this incarnation was ever ordered to run.

    The record of an ended session stays: it refuses to start again under an epoch that
    has ended here, since the session may be another node's by then.
    """

    starting: int = 0
    """How many sessions are starting."""
    alive: int = 0
    """How many sessions have not ended."""
    closing: bool = False
    _table: dict[int, Resident[S]] = field(default_factory=dict)

    def get(self, session_id: int) -> Resident[S] | None:
        """Return a session's record."""
        return self._table.get(session_id)

    def sessions(self) -> Iterator[S]:
        """Return what has not ended, as far as it has been made."""
        return (it.session for it in self._table.values() if it.session is not None)

    def session(self, session_id: int) -> S | None:
        """Return a session that runs; None if it does not, or is stopping."""
        it = self._table.get(session_id)
        return it.session if it is not None and it.phase is Phase.RUNNING else None

    def inventory(self) -> list[tuple[int, int]]:
        """Return (session, newest epoch to run under) of all that have not ended."""
        return [
            (it.session_id, it.next_epoch or it.epoch)
            for it in self._table.values()
            if it.phase is not Phase.ENDED
        ]

    # --- orders -----------------------------------------------------------------

    def order_start(self, session_id: int, epoch: int) -> tuple[bool, list[Action[S]]]:
        """Run a session under an epoch; returns (whether accepted, actions)."""
        if self.closing:
            return False, []
        resident = self._record(session_id)
        if epoch < resident.newest:
            return self._answer_older(resident, epoch)
        resident.newest = epoch
        match resident.phase:
            case Phase.ENDED:
                if epoch <= resident.epoch:
                    return True, [ReportStopped(session_id, epoch, StopReason.ALREADY_ENDED)]
                return True, self._begin(resident, epoch)
            case Phase.STOPPING:
                self._queue(resident, epoch)
                return True, []
            case Phase.RUNNING if epoch == resident.epoch:
                return True, [ReportRunning(session_id, epoch)]
            case Phase.STARTING if epoch == resident.epoch:
                # It reports by itself, once its position is stored: were it reported
                # before, and killed then, the next owner would begin at its own now.
                return True, []
            case _:
                actions = self._stop(resident, StopReason.SUPERSEDED)
                resident.next_epoch = epoch
                return True, actions

    def order_stop(
        self, session_id: int, epoch: int, reason: StopReason = StopReason.REQUESTED
    ) -> list[Action[S]]:
        """Stop a session that runs under this epoch or an older one; always reported."""
        resident = self._record(session_id)
        resident.newest = max(epoch, resident.newest)
        if epoch < resident.epoch:
            return [ReportStopped(session_id, epoch, reason)]
        if resident.phase is Phase.ENDED:
            resident.epoch = epoch
            return [ReportStopped(session_id, epoch, reason)]
        actions: list[Action[S]] = []
        if resident.phase is not Phase.STOPPING:
            actions = self._stop(resident, reason)
        assert resident.answers is not None
        if resident.next_epoch and epoch >= resident.next_epoch:
            resident.answers[resident.next_epoch] = StopReason.CANCELLED
            resident.next_epoch = 0
        resident.answers.setdefault(epoch, reason)
        return actions

    def close(self) -> list[Action[S]]:
        """Stop all sessions, and refuse every start from now on."""
        self.closing = True
        actions: list[Action[S]] = []
        for resident in list(self._table.values()):
            if resident.phase is not Phase.ENDED:
                epoch = resident.next_epoch or resident.epoch
                actions += self.order_stop(resident.session_id, epoch, StopReason.NODE_STOPPING)
        return actions

    # --- what became of it --------------------------------------------------------

    def started(self, resident: Resident[S]) -> list[Action[S]]:
        """A start has succeeded; a stop that came meanwhile is carried out now."""
        resident.start = None
        if resident.phase is Phase.STOPPING:
            return [End(resident)]
        assert resident.phase is Phase.STARTING
        self._enter(resident, Phase.RUNNING)
        return [ReportRunning(resident.session_id, resident.epoch)]

    def ended(self, resident: Resident[S], failure: Failure | None = None) -> list[Action[S]]:
        """No connection of the session exists, nor can one come to exist."""
        assert resident.phase in (Phase.STARTING, Phase.STOPPING)
        session_id, epoch = resident.session_id, resident.epoch
        answers, resident.answers = resident.answers or {}, None
        failure, resident.failure = failure or resident.failure, None
        resident.session = None
        resident.start = None
        self._enter(resident, Phase.ENDED)
        actions: list[Action[S]] = []
        if failure:
            actions.append(ReportFailed(session_id, epoch, failure))
        actions += [ReportStopped(session_id, it, answers[it]) for it in sorted(answers)]
        resident.epoch = max(epoch, *answers) if answers else epoch
        if resident.next_epoch:
            epoch, resident.next_epoch = resident.next_epoch, 0
            actions += self._begin(resident, epoch)
        return actions

    def gave_up(self, session_id: int, epoch: int, failure: Failure) -> list[Action[S]]:
        """A session cannot go on: stop it, and report why.

        It may still be starting: it is connected before its position is stored.
        """
        resident = self._table.get(session_id)
        if resident is None or resident.epoch != epoch:
            return []  # it is another one by now
        if resident.phase not in (Phase.STARTING, Phase.RUNNING):
            return []  # it is being ended already
        was_starting = resident.phase is Phase.STARTING
        resident.failure = failure
        resident.answers = {}
        self._enter(resident, Phase.STOPPING)
        return [CancelStart(resident)] if was_starting else [End(resident)]

    def fenced(self, session_id: int, epoch: int) -> list[Action[S]]:
        """Redis says that the session is another node's, or runs under a newer epoch."""
        resident = self._table.get(session_id)
        if resident is None or resident.epoch != epoch:
            return []
        if resident.phase not in (Phase.STARTING, Phase.RUNNING):
            return []
        return self._stop(resident, StopReason.FENCED)

    # --- steps ----------------------------------------------------------------------

    def _record(self, session_id: int) -> Resident[S]:
        resident = self._table.get(session_id)
        if resident is None:
            resident = self._table[session_id] = Resident(session_id, 0)
        return resident

    def _answer_older(self, resident: Resident[S], epoch: int) -> tuple[bool, list[Action[S]]]:
        """Say that an older epoch has ended, if nothing of the session runs or will run.

        A database that has lost its last commits may name an epoch that a newer one has
        replaced here: without an answer the session would be forgotten.
        """
        if resident.phase is Phase.ENDED:
            return True, [ReportStopped(resident.session_id, epoch, StopReason.ALREADY_ENDED)]
        if resident.phase is Phase.STOPPING and not resident.next_epoch:
            assert resident.answers is not None
            resident.answers.setdefault(epoch, StopReason.ALREADY_ENDED)
            return True, []
        return False, []

    def _begin(self, resident: Resident[S], epoch: int) -> list[Action[S]]:
        resident.epoch = epoch
        self._enter(resident, Phase.STARTING)
        return [Begin(resident)]

    def _stop(self, resident: Resident[S], reason: StopReason) -> list[Action[S]]:
        """Leave STARTING or RUNNING; its own epoch is reported as stopped at the end."""
        was_starting = resident.phase is Phase.STARTING
        if was_starting and reason is StopReason.REQUESTED:
            reason = StopReason.CANCELLED
        resident.answers = {resident.epoch: reason}
        self._enter(resident, Phase.STOPPING)
        return [CancelStart(resident)] if was_starting else [End(resident)]

    def _queue(self, resident: Resident[S], epoch: int) -> None:
        """Let a newer epoch start once the session has ended."""
        assert resident.answers is not None
        if epoch == resident.epoch or epoch in resident.answers or epoch == resident.next_epoch:
            return  # the end that is under way answers it, or it waits already
        if resident.next_epoch:
            resident.answers[resident.next_epoch] = StopReason.SUPERSEDED
        resident.next_epoch = epoch

    def _enter(self, resident: Resident[S], phase: Phase) -> None:
        was = resident.phase
        self.starting += (phase is Phase.STARTING) - (was is Phase.STARTING)
        self.alive += (phase is not Phase.ENDED) - (was is not Phase.ENDED)
        resident.phase = phase
