"""Whether proxies work, as the nodes' reports of their sessions show it."""

from __future__ import annotations

from collections.abc import Iterable

from afx.cluster import messages
from afx.cluster.reports import Failed, Trouble
from afx.reasons import FailureReason, TroubleReason
from models.storage import proxies

_FAILURES = (FailureReason.PROXY_UNREACHABLE, FailureReason.PROXY_REFUSED)


class ProxyWatch:
    """Of one term: the sessions whose proxy fails."""

    def __init__(self) -> None:
        self._failing = set(proxies.failing_sessions())

    def write(
        self,
        failed: Iterable[Failed],
        troubles: Iterable[Trouble],
        *,
        started: Iterable[int],
        active: Iterable[int],
    ) -> frozenset[int]:
        """Write what reports show, in the caller's transaction; returns what ``keep`` takes.

        ``started`` and ``active`` are ids of sessions: those connect.
        """
        states = {it: "" for ids in (started, active) for it in ids if it in self._failing}
        for trouble in troubles:
            if trouble.reason is TroubleReason.PROXY_FAILED:
                states[trouble.session_id] = trouble.text or "it fails"
        for failure in failed:
            if failure.reason in _FAILURES:
                states[failure.session_id] = failure.text or messages.ended(failure)
        if not states:
            return frozenset(self._failing)
        failing = set(proxies.note_of_sessions(list(states.items())))
        return frozenset((self._failing - states.keys()) | failing)

    def keep(self, failing: frozenset[int]) -> None:
        """Remember what was written, once the transaction is committed."""
        self._failing = set(failing)
