"""What keeps sessions and rules from running, and when sessions are tried again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from models.base import execute_many, micros, utc_now
from models.tables import Session


@dataclass(slots=True, frozen=True)
class Failure:
    """One more failure of a session."""

    session_id: int
    text: str
    """What happened, for people."""
    pause_seconds: float
    """How long the session waits before it is tried again."""


def failure_counts(ids: Sequence[int]) -> dict[int, int]:
    """Return how often sessions have failed in a row, by id."""
    query = Session.select(Session.id, Session.failures).where(Session.id.in_(list(ids)))
    return dict(query.tuples())


def note_failures(failures: Sequence[Failure]) -> None:
    """Note that sessions failed, and when each is tried again."""
    now = utc_now()
    execute_many(
        "UPDATE sessions SET trouble = ?, failures = failures + 1, retry_at = ? WHERE id = ?",
        [
            (it.text, micros(now + timedelta(seconds=it.pause_seconds)), it.session_id)
            for it in failures
        ],
    )


def newer(placed: Sequence[tuple[int, int]]) -> set[int]:
    """Return the sessions that were placed under an older revision, as (session, revision)."""
    query = Session.select(Session.id, Session.revision).where(
        Session.id.in_([session for session, _ in placed])
    )
    now = dict(query.tuples())
    return {session for session, revision in placed if now.get(session, 0) > revision}


def note_lost_logins(rows: Sequence[tuple[int, int, str]]) -> None:
    """Pause sessions whose login Telegram no longer accepts, as (session, revision, reason).

    One that has changed since that revision stays as it is: its login may be another one.
    """
    execute_many(
        "UPDATE sessions SET trouble = ?, desired_state = 'paused', hibernation = '',"
        " wakes_at = NULL, awake_at = NULL WHERE id = ? AND revision <= ?",
        [(reason, session, revision) for session, revision, reason in rows],
    )


def clear(ids: Sequence[int]) -> None:
    """Remove the troubles of sessions that run."""
    execute_many(
        "UPDATE sessions SET trouble = '', failures = 0, retry_at = NULL"
        " WHERE id = ? AND (failures > 0 OR trouble <> '')",
        [(session,) for session in ids],
    )


def note_rules(rows: Sequence[tuple[int, int, str]]) -> None:
    """Note what is wrong with rules, given as (session, rule, text); '' when nothing is."""
    execute_many(
        "UPDATE rules SET trouble = ? WHERE id = ? AND session_id = ?",
        [(text, rule, session) for session, rule, text in rows],
    )


def clear_rules(ids: Sequence[int]) -> None:
    """Remove the troubles of all rules of sessions."""
    execute_many(
        "UPDATE rules SET trouble = '' WHERE session_id = ? AND trouble <> ''",
        [(session,) for session in ids],
    )
