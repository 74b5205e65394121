"""Answers to requests with an idempotency key: a repetition changes nothing again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from afx.errors import UsageError
from afx.operations.context import Context
from afx.operations.leader import wake_leader
from models.base import transaction
from models.storage import requests


class KeyReusedError(UsageError):
    """An idempotency key was used for another request before."""


@dataclass(slots=True, frozen=True)
class Answer:
    """What a request got."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    repeated: bool = False
    """It was given before; nothing was changed now."""


def once(context: Context, token: int, key: str, digest: str, make: Callable[[], Answer]) -> Answer:
    """Return the answer of ``make``, or the one that the same request got before.

    What ``make`` changes and its answer are stored in one transaction: whenever this
    process dies, a repetition makes the change once. An error stores nothing. Raises
    KeyReusedError when the key belongs to another request.
    """
    context.servers.open_database(create=True)
    with context.servers.translating(), transaction():
        found = _claimed(token, key, digest)
        if found is not None:
            return _stored(found)
        answer = _kept(token, key, make())
    wake_leader(context)  # there may be a control or a task
    return answer


def _claimed(token: int, key: str, digest: str) -> dict[str, Any] | None:
    found = requests.claim(token, key, digest)
    if found is not None and found["digest"] != digest:
        raise KeyReusedError(
            "This Idempotency-Key belongs to another request; use a new key for each "
            "request. Nothing was changed."
        )
    return found


def _stored(found: Mapping[str, Any]) -> Answer:
    headers = {str(k): str(v) for k, v in found["headers"].items()}
    return Answer(int(found["status"]), found["body"].encode(), headers, repeated=True)


def _kept(token: int, key: str, answer: Answer) -> Answer:
    requests.answer(
        token, key, status=answer.status, headers=answer.headers, body=answer.body.decode()
    )
    return answer
