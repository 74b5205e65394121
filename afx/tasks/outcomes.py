"""What became of a run of a task, by the error that ended it."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import ValidationError
from telethon import errors

from afx.reasons import TaskOutcome
from afx.tasks.kinds.base import SnoozeError, TaskFailedError, TryAgainError
from afx.telegram.chats import ChatNotFoundError
from afx.telegram.errors import error_name, is_for_people, is_lost_login

_PEER_FLOOD_SECONDS = 300.0
_TEXT_LIMIT = 500
_REFUSED = (
    errors.BadRequestError,
    errors.ForbiddenError,
    errors.NotFoundError,
    errors.AuthKeyError,
)


@dataclass(slots=True, frozen=True)
class Ending:
    """How a run ended."""

    outcome: TaskOutcome
    text: str = ""
    result: str = ""
    """JSON."""
    pause_seconds: float = 0.0


def ending_of(error: BaseException) -> Ending:
    """Return how a run ended that raised an error."""
    text = str(error)[:_TEXT_LIMIT]
    if isinstance(error, TaskFailedError | ChatNotFoundError):
        return Ending(TaskOutcome.FAILED, text)
    if isinstance(error, ValidationError):
        return Ending(TaskOutcome.FAILED, "The arguments or the result are malformed.")
    if isinstance(error, SnoozeError):
        return Ending(TaskOutcome.SNOOZED, text, pause_seconds=error.seconds)
    if isinstance(error, errors.RPCError):
        name = error_name(error)
        if is_lost_login(error) or not isinstance(error, _REFUSED):
            return Ending(TaskOutcome.TRY_AGAIN, f"Telegram answered {name}.")
        if is_for_people(error):
            return Ending(TaskOutcome.FAILED, "Bots cannot do this; use the session of a person.")
        return Ending(TaskOutcome.FAILED, f"Telegram answered {name}.")
    if isinstance(error, TryAgainError | ConnectionError):
        return Ending(TaskOutcome.TRY_AGAIN, text or type(error).__name__)
    return Ending(TaskOutcome.TRY_AGAIN, f"An internal error: {error!r}"[:_TEXT_LIMIT])


@dataclass(slots=True, frozen=True)
class Wait:
    """What Telegram asks an account to wait."""

    seconds: float
    name: str
    """Telegram's name of the error."""
    whole_account: bool = False
    """A refused send means that all sends are to wait."""


def wait_of(error: errors.RPCError) -> Wait | None:
    """Return the wait that an answer of Telegram's asks for, if it does."""
    seconds = getattr(error, "seconds", None)
    if isinstance(seconds, int | float) and seconds >= 0:
        return Wait(max(1.0, float(seconds)), error_name(error))
    if isinstance(error, errors.PeerFloodError):
        return Wait(_PEER_FLOOD_SECONDS, error_name(error), whole_account=True)
    return None
