"""rule.approve: sends messages of a rule that an operator has approved.

They go behind what waits for their destinations. A copy that exists is known by its link, or by
its random_id, and is not sent once more; what was edited since it was looked at waits again.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator

from afx.tasks.kinds.base import (
    Arguments,
    Idempotence,
    Kind,
    Result,
    TaskFailedError,
    TaskRun,
)
from afx.tasks.kinds.rule_fields import rule_of

MOST_MESSAGES = 110
"""Of one route: they are read by one request."""


class ApprovedRoute(BaseModel):
    """Approved messages of one route, in their order; both chats are marked ids."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: int = Field(gt=-(2**53), lt=2**53)
    destination: int = Field(gt=-(2**53), lt=2**53)
    messages: tuple[int, ...] = Field(min_length=1, max_length=MOST_MESSAGES)
    versions: tuple[int, ...] = Field(min_length=1, max_length=MOST_MESSAGES)
    """Of the contents that were looked at, of each message."""

    @model_validator(mode="after")
    def _check(self) -> ApprovedRoute:
        if len(self.messages) != len(self.versions):
            raise ValueError("there is not one version for each message")
        if not all(0 < it < 2**31 for it in self.messages):
            raise ValueError("not ids of messages")
        return self


class ApproveArguments(Arguments):
    """Which messages."""

    rule: int = Field(ge=1)
    """The rule's id."""
    routes: tuple[ApprovedRoute, ...] = Field(min_length=1, max_length=1_000)


class ApproveResult(Result):
    """What was done."""

    released: int
    """Messages that are in their lanes."""
    edited: int
    """They were edited since they were looked at, and wait again."""
    deleted: int
    """Their sources have deleted them."""


async def run(task: TaskRun, arguments: ApproveArguments) -> ApproveResult:
    """Release one route's messages after another's.

    Raises TaskFailedError when the rule does not lead to all destinations any more.
    """
    rule_of(task, arguments.rule)
    released = edited = deleted = 0
    unsent: dict[str, int] = {}
    for it in arguments.routes:
        versions = dict(zip(it.messages, it.versions, strict=True))
        found = await task.approve(arguments.rule, it.source, it.destination, versions)
        released += found.released
        edited += found.edited
        deleted += found.deleted
        if found.unsent:
            unsent[f"from {it.source} to {it.destination}"] = found.unsent
    if unsent:
        where = ", nor ".join(unsent)
        raise TaskFailedError(
            f"{sum(unsent.values())} approved messages were not sent, for their rule does not "
            f"forward {where} any more. Change the rule and approve them once more, or reject "
            f"what waits; {released} others were sent."
        )
    return ApproveResult(released=released, edited=edited, deleted=deleted)


KIND = Kind(
    name="rule.approve",
    summary="Send messages that were approved; 'afx rule review approve' submits it.",
    arguments=ApproveArguments,
    result=ApproveResult,
    run=run,
    idempotence=Idempotence.KEYED,
    max_attempts=10,
    timeout_seconds=600,
    scope="review:write",
)
