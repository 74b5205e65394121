"""The health of accounts, as the nodes' reports show it (see ``decisions.account_health``)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

from afx.cluster.reports import Failed, Trouble
from afx.coordinator.decisions.account_health import ADVICE, Health, Sign, Standing, after
from afx.reasons import FailureReason, TroubleReason
from models.storage import account_health, webhooks
from models.storage.account_health import HealthRow
from models.webhook_tables import EventKind

_FAILURES = {
    FailureReason.LOGIN_LOST: Sign.LOGIN_LOST,
    FailureReason.ACCOUNT_BANNED: Sign.BANNED,
}
_TROUBLES = {
    TroubleReason.ACCOUNT_LIMITED: Sign.LIMITED,
    TroubleReason.ACCOUNT_FROZEN: Sign.FROZEN,
}
Changed = Mapping[int, Standing]


class AccountWatch:
    """Of one term: the accounts that are not healthy; all others are."""

    def __init__(self, time: Callable[[], float]) -> None:
        """``time`` is the wall clock, in Unix seconds."""
        self._time = time
        self._standings = {
            it.session_id: Standing(
                Health(it.health), it.since.timestamp(), it.seen.timestamp(), it.error
            )
            for it in account_health.unhealthy()
        }

    def write(
        self,
        failed: Iterable[Failed],
        troubles: Iterable[Trouble],
        *,
        started: Iterable[int],
        active: Iterable[int],
    ) -> Changed:
        """Write what reports show, in the caller's transaction; returns what ``keep`` takes.

        ``started`` and ``active`` are ids of sessions. Webhooks are told of each change.
        """
        now = self._time()
        found: dict[int, Standing] = {}
        for session, sign, error in self._signs(failed, troubles, started, active):
            before = found.get(session, self._standings.get(session, Standing()))
            standing = after(before, sign, error, now)
            if standing is not before:
                found[session] = standing
        account_health.note([_row(session, it) for session, it in found.items()])
        self._tell(found)
        return found

    def keep(self, changed: Changed) -> None:
        """Remember what was written, once the transaction is committed."""
        for session, it in changed.items():
            if it.health is Health.HEALTHY:
                self._standings.pop(session, None)
            else:
                self._standings[session] = it

    def _signs(
        self,
        failed: Iterable[Failed],
        troubles: Iterable[Trouble],
        started: Iterable[int],
        active: Iterable[int],
    ) -> Iterator[tuple[int, Sign, str]]:
        yield from ((it, Sign.STARTED, "") for it in started if it in self._standings)
        yield from ((it, Sign.WORKS, "") for it in active if it in self._standings)
        for trouble in troubles:
            if sign := _TROUBLES.get(trouble.reason):
                yield trouble.session_id, sign, trouble.text
        for failure in failed:
            if sign := _FAILURES.get(failure.reason):
                yield failure.session_id, sign, failure.text

    def _tell(self, found: Changed) -> None:
        rows: Sequence[tuple[int, Mapping[str, str]]] = [
            (
                session,
                {
                    "health": it.health,
                    "before": before,
                    "error": it.error,
                    "advice": ADVICE[it.health],
                },
            )
            for session, it in found.items()
            # Of a lost login an event of its own tells.
            if it.health is not Health.NEEDS_LOGIN
            and it.health is not (before := self._standings.get(session, Standing()).health)
        ]
        if rows:
            webhooks.record_events(webhooks.session_events(EventKind.HEALTH, rows))


def _row(session: int, it: Standing) -> HealthRow:
    since, seen = (datetime.fromtimestamp(at, UTC) for at in (it.since, it.seen))
    return HealthRow(session, it.health, since, seen, it.error)
