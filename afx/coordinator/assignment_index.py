"""The assignments that have not ended, indexed in memory: by session, node and state."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from models.storage.assignments import Active


@dataclass(slots=True)
class _Transition:
    """The times of a session that starts or stops."""

    since: float | None = None
    """Since when an answer is expected; see ``AssignmentIndex.unanswered``."""
    ordered_at: float | None = None
    """When its node was last ordered to start or stop it."""


class AssignmentIndex:
    """A copy of what SQL has; it does no I/O and reads no clock."""

    def __init__(self, actives: Iterable[Active] = ()) -> None:
        self.active: dict[int, Active] = {}
        """session → its assignment."""
        self._by_incarnation: dict[str, set[int]] = {}
        self._on_worker: Counter[str] = Counter()
        """node's name → how many assignments it has, in all its incarnations."""
        self._transitions: dict[int, _Transition] = {}
        """Sessions that start or stop: few, so that they can be checked often."""
        self._answering: set[str] = set()
        """Incarnations that have answered since ``note_answers``."""
        self._answered_at: dict[str, float] = {}
        for it in actives:
            self.add(it)

    def add(self, assignment: Active) -> None:
        """Add an assignment, in place of any other one of its session."""
        session = assignment.session
        if session in self.active:
            self.remove(session)
        self._on_worker[assignment.worker] += 1
        self.active[session] = assignment
        self._by_incarnation.setdefault(assignment.incarnation, set()).add(session)
        if assignment.state != "running":
            self._transitions[session] = _Transition()

    def set_state(self, session: int, state: str) -> None:
        """Change the state of an assignment."""
        self.active[session] = replace(self.active[session], state=state)
        if state == "running":
            if self._transitions.pop(session, None):
                self._answering.add(self.active[session].incarnation)
        else:
            self._transitions[session] = _Transition()

    def remove(self, session: int) -> None:
        """Remove an assignment that has ended."""
        assignment = self.active.pop(session)
        self._transitions.pop(session, None)
        self._answering.add(assignment.incarnation)
        self._on_worker[assignment.worker] -= 1
        if not self._on_worker[assignment.worker]:
            del self._on_worker[assignment.worker]
        rest = self._by_incarnation[assignment.incarnation]
        rest.discard(session)
        if not rest:
            del self._by_incarnation[assignment.incarnation]

    def on(self, incarnation: str) -> list[Active]:
        """Return the assignments of one incarnation of a node."""
        return [self.active[it] for it in self.sessions_on(incarnation)]

    def sessions_on(self, incarnation: str) -> Collection[int]:
        """Return the sessions of one incarnation of a node."""
        return self._by_incarnation.get(incarnation, ())

    def counts(self) -> Counter[str]:
        """Return how many assignments each incarnation has, if it has any."""
        return Counter({k: len(sessions) for k, sessions in self._by_incarnation.items()})

    def count_on_worker(self, name: str) -> int:
        """Return how many assignments a node has, in all its incarnations."""
        return self._on_worker[name]

    def has_stopping(self) -> bool:
        """Return whether any session is stopping."""
        return any(self.active[it].state == "stopping" for it in self._transitions)

    def note_ordered(self, session: int, now: float) -> None:
        """Note that a node was ordered to start or to stop a session."""
        transition = self._transitions.get(session)
        if transition:
            transition.ordered_at = now

    def late(self, live: Collection[str], before: float, now: float) -> list[Active]:
        """Return what starts or stops on live nodes, and was last ordered before an instant."""
        late = []
        for session, transition in self._transitions.items():
            assignment = self.active[session]
            if assignment.incarnation in live:
                if transition.ordered_at is None:
                    transition.ordered_at = now
                if transition.ordered_at < before:
                    late.append(assignment)
        return late

    def answering(self, since: float, now: float) -> set[str]:
        """Return the incarnations that have started or ended a session since an instant.

        What has happened since the last call counts as of now.
        """
        self._answered_at |= dict.fromkeys(self._answering, now)
        self._answering = set()
        self._answered_at = {k: at for k, at in self._answered_at.items() if at >= since}
        return set(self._answered_at)

    def unanswered(
        self, state: str, nodes: Collection[str], before: float, now: float
    ) -> list[Active]:
        """Return what is in a state, on some nodes, since before an instant.

        The time begins when a session is first found on one of ``nodes``; orders
        that are repeated do not begin it again.
        """
        unanswered = []
        for session, transition in self._transitions.items():
            assignment = self.active[session]
            if assignment.state == state and assignment.incarnation in nodes:
                if transition.since is None:
                    transition.since = now
                if transition.since < before:
                    unanswered.append(assignment)
        return unanswered
