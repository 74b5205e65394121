"""Publishes the specs of sessions to Redis, from which nodes start them."""

from __future__ import annotations

from collections.abc import Sequence

import redis

from afx.cluster import specs
from afx.cluster.specs import RuleSpec, SessionSpec
from models.storage import logins, rules

_SESSIONS_PER_QUERY = 500


class SpecPublisher:
    """Writes specs in one term of leadership."""

    def __init__(self, client: redis.Redis, term: int) -> None:
        self._redis = client
        self._term = term

    def publish(self, sessions: Sequence[int]) -> None:
        """Write the specs of sessions; raises FencedError when a newer term has begun."""
        for start in range(0, len(sessions), _SESSIONS_PER_QUERY):
            self._publish(sessions[start : start + _SESSIONS_PER_QUERY])

    def _publish(self, sessions: Sequence[int]) -> None:
        rules_of = rules.for_sessions(sessions)
        specs.publish(
            self._redis,
            (
                SessionSpec(
                    it.id,
                    it.name,
                    it.tier,
                    it.login,
                    tuple(
                        RuleSpec(rule.id, tuple(rule.sources), tuple(rule.destinations), rule.mode)
                        for rule in rules_of.get(it.id, ())
                    ),
                )
                for it in logins.of_sessions(sessions)
            ),
            self._term,
        )
