"""Jobs that a node refused: why, how many, and the newest of them for people to read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import redis

from afx.cluster import fields, keys
from afx.errors import AfxError

_STREAM_LIMIT = 1_000
_TEXT_LIMIT = 500
_COUNTED_SECONDS = 30 * 86_400
"""How long after its last one the refusals of a node are known by their reasons."""


class RefusalReason(StrEnum):
    """Why a job was refused."""

    JOB_ID = "job_id"
    """The id is malformed, or the job was signed under another one."""
    FORM = "form"
    """The hash or the payload does not have the form of a signed job."""
    FIELDS = "fields"
    """It has callbacks, webhooks, dependencies or other fields that no signature covers."""
    TOO_LARGE = "too_large"
    SIGNATURE = "signature"
    PURPOSE = "purpose"
    AUDIENCE = "audience"
    """It is for another node, or for another incarnation of this one."""
    EXPIRED = "expired"
    REPLAYED = "replayed"
    """It was taken before."""
    UNKNOWN_KIND = "unknown_kind"
    ARGUMENTS = "arguments"


class RefusedJobError(AfxError):
    """A job was refused before anything of it was resolved or run."""

    def __init__(self, reason: RefusalReason, text: str) -> None:
        super().__init__(text)
        self.reason = reason


@dataclass(slots=True, frozen=True)
class RefusedJob:
    """A refused job, as people see it."""

    queue: str
    job_id: str
    """As it was received, shortened."""
    reason: RefusalReason
    text: str
    node: str = ""
    """The node that refused it."""


def record(client: redis.Redis, job: RefusedJob) -> None:
    """Count a refused job, and keep it among the newest thousand."""
    pipe = client.pipeline(transaction=False)
    _note(pipe, job)
    # Should someone have put other values there, the refusal itself still stands.
    pipe.execute(raise_on_error=False)


async def record_async(client: Any, jobs: Iterable[RefusedJob]) -> None:
    """Count refused jobs on a host's loop."""
    pipe = client.pipeline(transaction=False)
    for it in jobs:
        _note(pipe, it)
    await pipe.execute(raise_on_error=False)


def _note(pipe: Any, job: RefusedJob) -> None:
    pipe.incr(keys.JOBS_REFUSED_COUNT)
    pipe.xadd(
        keys.JOBS_REFUSED,
        {
            "queue": job.queue,
            "job_id": job.job_id[:_TEXT_LIMIT],
            "reason": str(job.reason),
            "text": job.text[:_TEXT_LIMIT],
        },
        maxlen=_STREAM_LIMIT,
        approximate=False,
    )
    if job.node:
        key = keys.jobs_refused_by(job.node)
        pipe.hincrby(key, str(job.reason), 1)
        pipe.expire(key, _COUNTED_SECONDS)


def count(client: redis.Redis) -> int:
    """Return how many jobs were ever refused."""
    [text] = client.mget([keys.JOBS_REFUSED_COUNT])  # answers None for a key of another type
    return fields.integer(text) or 0


def counts(client: redis.Redis, nodes: Sequence[str]) -> dict[tuple[str, RefusalReason], int]:
    """Return how many jobs each node has refused for each reason; only what occurs."""
    reasons = list(RefusalReason)
    pipe = client.pipeline(transaction=False)
    for node in nodes:
        pipe.hmget(keys.jobs_refused_by(node), [str(it) for it in reasons])
    answers = pipe.execute(raise_on_error=False) if nodes else []
    return {
        (node, reason): found
        for node, answer in zip(nodes, answers, strict=True)
        if isinstance(answer, list)  # not so when its key has another type
        for reason, text in zip(reasons, answer, strict=True)
        if (found := fields.integer(text))
    }
