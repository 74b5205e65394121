"""Commits what sessions have settled: cursors, links, entities, in batches."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

from afx.cluster import keys
from afx.cluster.scripts import source
from afx.node.running import Link, RunningSession

_DAY_SECONDS = 86_400


class Committer:
    """Writes sessions' progress to Redis, fenced by their epochs."""

    def __init__(self, client: Any, incarnation: str, link_days: int) -> None:
        self._redis = client
        self._script = client.register_script(source("commit"))
        self._incarnation = incarnation
        self._link_seconds = link_days * _DAY_SECONDS

    async def commit(self, sessions: list[RunningSession]) -> list[RunningSession]:
        """Commit all, in one round trip; returns those that belong to others now.

        When Redis does not answer, the progress is put back and its error raised.
        """
        taken = [(session, *session.collect_uncommitted()) for session in sessions]
        pipe = self._redis.pipeline(transaction=False)
        for session, cursor, links, fresh in taken:
            number = session.spec.session
            body = json.dumps(
                {"cursor": cursor, "hashes": _hashes(number, links)}, separators=(",", ":")
            )
            await self._script(
                keys=[keys.assignment(number), keys.cursor(number)],
                args=[self._incarnation, session.epoch, self._link_seconds, body],
                client=pipe,
            )
            if fresh:
                # Access hashes do not depend on who owns the session: no fence.
                pipe.hset(keys.entities(number), mapping=fresh)
        try:
            answers = await pipe.execute()
        except BaseException:
            for session, _cursor, links, fresh in taken:
                session.put_back(links, fresh)
            raise
        foreign = []
        at = 0
        for session, _cursor, links, fresh in taken:
            if answers[at] < 0:
                session.put_back(links, {})
            elif not answers[at]:
                foreign.append(session)
            at += 2 if fresh else 1
        return foreign


def _hashes(session: int, links: list[Link]) -> list[list[Any]]:
    found: dict[str, list[Any]] = defaultdict(list)
    for link in links:
        it = link.delivery
        found[keys.links(session, it.source, it.message)] += (
            f"{it.message}:{it.rule}:{it.destination}",
            link.copy,
        )
        found[keys.copies(session, it.destination, link.copy)] += (
            link.copy,
            f"{it.source}:{it.message}",
        )
    return [[key, *fields] for key, fields in found.items()]
