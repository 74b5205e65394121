"""rule.retry: puts dead letters of a rule back into the outboxes of their destinations.

A copy that exists is known by its link, or by its random_id, and is not sent once more.
"""

from __future__ import annotations

from typing import Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
)

from afx.reasons import DeadReason
from afx.tasks.kinds.base import Arguments, Idempotence, Kind, Result, TaskFailedError, TaskRun
from afx.tasks.kinds.rule_fields import rule_of

_MOST_IDS = 256
_EVENTS = {
    DeadReason.EDIT_REFUSED: "edits",
    DeadReason.DELETE_REFUSED: "deletes",
    DeadReason.PIN_REFUSED: "pins",
    DeadReason.TOPIC_REFUSED: "topics",
}
"""By what a rule follows such changes, if it does (``afx.forwarding.changes``)."""


class DeadRoute(BaseModel):
    """Dead letters of one route; both chats are marked ids."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: int = Field(gt=-(2**53), lt=2**53)
    destination: int = Field(gt=-(2**53), lt=2**53)
    messages: str
    """Their ids in the source, for example ``1-3,9``."""
    reason: DeadReason | None = None
    """Why they are dead letters, where that tells what is to be done."""

    @model_serializer(mode="wrap")
    def _plain(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # A node of an earlier version does not know the field.
        return {name: it for name, it in write(self).items() if it is not None}

    @field_validator("messages")
    @classmethod
    def _check(cls, text: str) -> str:
        _ids(text)
        return text


class RetryArguments(Arguments):
    """Which dead letters."""

    rule: int = Field(ge=1)
    """The rule's id."""
    routes: tuple[DeadRoute, ...] = Field(min_length=1, max_length=1_000)


class RetryResult(Result):
    """What was done."""

    waiting: int
    """Messages that wait to be sent."""


async def run(task: TaskRun, arguments: RetryArguments) -> RetryResult:
    """Revive one route's after another's; those of changes only where they are followed."""
    rule = rule_of(task, arguments.rule)
    count, left = 0, []
    for it in arguments.routes:
        if it.reason in _EVENTS and _EVENTS[it.reason] not in rule.sync:
            left.append(_EVENTS[it.reason])
            continue
        messages = _ids(it.messages)
        route = (arguments.rule, it.source, it.destination)
        await task.redeliver(*route, messages, reason=it.reason)
        count += len(messages)
    if left:
        events = ", ".join(dict.fromkeys(left))
        raise TaskFailedError(
            f"Rule {arguments.rule} follows no {events} any more, so their dead letters stay; "
            f"follow them again by 'afx rule set NAME --sync ...', or drop them by 'afx rule dead "
            f"drop' ({count} others are tried again)."
        )
    return RetryResult(waiting=count)


def _ids(text: str) -> list[int]:
    from afx.cluster.message_ids import parse_ids

    return parse_ids(text, _MOST_IDS)


KIND = Kind(
    name="rule.retry",
    summary="Try dead letters of a rule again; 'afx rule dead retry' submits it.",
    arguments=RetryArguments,
    result=RetryResult,
    run=run,
    idempotence=Idempotence.KEYED,
    max_attempts=5,
    timeout_seconds=600,
)
