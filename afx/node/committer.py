"""Commits what sessions have settled: cursors, links, entities, in batches."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from typing import Any

import redis

from afx.cluster import keys, report_stream
from afx.cluster.links import CopyLink, CopyRoute, writes
from afx.cluster.reports import DeadLettered, DeadRevived
from afx.cluster.scripts import source
from afx.node.commit_reports import report_of
from afx.node.dead_letters import DeadGroup
from afx.node.progress import Link, Progress
from afx.node.session import HostedSession

_DAY_SECONDS = 86_400
_MOST_VALUES = 1_000
"""Values in one HSET: Lua's ``unpack`` fails at a few thousand."""
_MOST_IN_CURSOR = 20_000
"""Values of a cursor in one call. What leaves an outbox and what is to be done with it later
belong together: no less than what outboxes of 2.5 million messages need."""
_MOST_BLOCKS = 250
"""Blocks of links in one call of the script: Redis serves no one else meanwhile."""

_GROUPS_IN_ENTRY = 10
"""Groups of dead letters in one entry of the stream."""

_Block = list[str | int | bytes]


@dataclass(slots=True)
class Committed:
    """What became of a commit."""

    foreign: list[HostedSession] = field(default_factory=list)
    """Sessions that belong to another incarnation or epoch by now."""
    complete: bool = True
    """Nothing was put back."""
    refused: list[tuple[HostedSession, redis.RedisError]] = field(default_factory=list)
    """Sessions of which Redis refused a part, and the first error of each."""


class Committer:
    """Writes sessions' progress to Redis, fenced by their epochs."""

    def __init__(self, client: Any, node: str, incarnation: str, link_days: int) -> None:
        self._redis = client
        self._script = client.register_script(source("commit"))
        self._node = node
        self._incarnation = incarnation
        self._link_seconds = link_seconds(link_days)

    async def commit(self, sessions: Sequence[HostedSession]) -> Committed:
        """Commit all, in one round trip.

        What could not be committed is put back. Raises redis.RedisError when Redis
        gave no answer.
        """
        taken: list[tuple[HostedSession, Progress]] = []
        result = Committed()
        sent: list[tuple[HostedSession, Progress, tuple[int, int]]] = []
        try:
            for session in sessions:
                taken.append((session, session.collect_uncommitted()))
            # The block gives back the connection also where checking for the script fails.
            async with self._redis.pipeline(transaction=False) as pipe:
                for session, progress in taken:
                    sent.append((session, progress, await self._queue(pipe, session, progress)))
                answers = iter(await pipe.execute(raise_on_error=False))
        except BaseException:
            for session, progress in taken:
                session.put_back(progress)
            raise
        for session, progress, counts in sent:
            fenced, plain = (list(islice(answers, count)) for count in counts)
            self._settle(result, session, progress, fenced, plain)
        return result

    async def _queue(
        self, pipe: Any, session: HostedSession, progress: Progress
    ) -> tuple[int, int]:
        """Add a session's commands to the pipeline; returns how many: fenced, and plain.

        Links go first: a cursor that is stored without its links would lose them.
        """
        session_id = session.session_id
        fenced = plain = 0
        # An intent ends in the same call as the last links, or later.
        # What is dead is reported before the cursor, or the outbox, passes it.
        blocks = [
            *self._reports(session, progress),
            *writes(session_id, map(_copy_link, progress.links)),
            *(_intent(session_id, *it) for it in progress.intents.items()),
        ]
        for cursor, part in _calls(progress.cursor, blocks):
            await self._script(
                keys=[keys.assignment(session_id), keys.cursor(session_id)],
                args=[
                    self._incarnation,
                    session.epoch,
                    self._link_seconds,
                    json.dumps(cursor, separators=(",", ":")),
                    *chain.from_iterable(part),
                ],
                client=pipe,
            )
            fenced += 1
        # Access hashes do not depend on who owns the session: no fence.
        for hashes in _parts(progress.entities):
            pipe.hset(keys.entities(session_id), mapping=hashes)
            plain += 1
        return fenced, plain

    def _reports(self, session: HostedSession, progress: Progress) -> Iterator[_Block]:
        """Return what appends reports to the nodes' stream: dead letters, what is held, alerts."""
        origin: dict[str, Any] = {
            "node": self._node,
            "incarnation": self._incarnation,
            "session_id": session.session_id,
            "epoch": session.epoch,
        }
        reports = [_dead_report(it, origin) for it in progress.dead]
        others = [report_of(it, origin) for it in (*progress.held, *progress.alerts)]
        for some in (reports, others):
            for start in range(0, len(some), _GROUPS_IN_ENTRY):
                yield report_stream.block(some[start : start + _GROUPS_IN_ENTRY])

    def _settle(
        self,
        result: Committed,
        session: HostedSession,
        progress: Progress,
        fenced: list[Any],
        plain: list[Any],
    ) -> None:
        """Judge a session's commit by all of its answers: its owner may change in between."""
        errors = [it for it in (*fenced, *plain) if isinstance(it, redis.RedisError)]
        verdicts = [it for it in fenced if isinstance(it, int)]
        if 0 in verdicts:
            result.foreign.append(session)
        elif errors:
            session.put_back(progress)
            result.complete = False
            result.refused.append((session, errors[0]))
        elif any(it < 0 for it in verdicts):
            # Redis has lost its owner, which the leader will write again.
            session.put_back(replace(progress, cursor=[], entities={}))
            result.complete = False
        else:
            session.note_committed()


def link_seconds(link_days: int) -> int:
    """Return for how long a link is stored in Redis."""
    # A day longer: what deletes a copy at the last moment looks for its link after it.
    return (link_days + 1) * _DAY_SECONDS


def _chunks(values: list[str]) -> list[list[str]]:
    return [values[at : at + _MOST_IN_CURSOR] for at in range(0, len(values), _MOST_IN_CURSOR)]


def _calls(cursor: list[str], blocks: list[_Block]) -> Iterator[tuple[list[str], list[_Block]]]:
    """Return (fields of the cursor, blocks of links) of each call; nearly always it is one."""
    rest = [blocks[at : at + _MOST_BLOCKS] for at in range(0, len(blocks), _MOST_BLOCKS)]
    last = rest.pop() if rest else []
    for part in rest:
        yield [], part
    first, *others = _chunks(cursor) or [[]]
    yield first, last
    for chunk in others:
        yield chunk, []


def _copy_link(link: Link) -> CopyLink:
    it = link.delivery
    return CopyLink(CopyRoute(it.rule, it.source, it.destination), it.message, link.copy)


def _intent(session_id: int, chat: int, batch: str) -> _Block:
    return ["intent", keys.intents(chat), session_id, batch, 0, 0, 0, 0]


def _dead_report(it: DeadGroup, origin: Mapping[str, Any]) -> DeadLettered | DeadRevived:
    route: dict[str, Any] = {
        **origin,
        "rule_id": it.rule,
        "source": it.source,
        "destination": it.destination,
        "message_ids": it.messages,
    }
    if it.reason is None:
        return DeadRevived(**route)
    return DeadLettered(**route, reason=it.reason, error=it.error[:100], attempts=it.attempts)


def _parts(mapping: dict[str, str]) -> Iterator[dict[str, str]]:
    items = iter(mapping.items())
    while part := dict(islice(items, _MOST_VALUES // 2)):
        yield part
