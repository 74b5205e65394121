"""Publishes the specs of sessions to Redis, from which nodes start them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import redis

from afx.cluster import specs
from afx.cluster.specs import RuleSpec, SessionSpec
from afx.security.signing import SigningKeys
from models.storage import logins, rules, senders
from models.storage.assignments import Active
from models.storage.logins import Login

_SESSIONS_PER_QUERY = 500


class SpecPublisher:
    """Signs and writes specs in one term of leadership."""

    def __init__(
        self,
        client: redis.Redis,
        term: int,
        keys: SigningKeys,
        *,
        proof: str = "",
        new_seconds: float = 0.0,
    ) -> None:
        """``proof`` is that of the term's generation (``generation_proof``); for ``new_seconds``
        an account that was signed in is new.
        """
        self._new_seconds = round(new_seconds)
        self._proof = proof
        self._redis = client
        self._term = term
        self._keys = keys

    def publish(self, actives: Sequence[Active]) -> None:
        """Write the specs of assignments; raises FencedError when a newer term has begun."""
        for start in range(0, len(actives), _SESSIONS_PER_QUERY):
            page = actives[start : start + _SESSIONS_PER_QUERY]
            specs.publish(self._redis, self._keys, self._specs(page), self._term)

    def _specs(self, actives: Sequence[Active]) -> Iterator[SessionSpec]:
        epochs = {it.session: it.epoch for it in actives}
        sessions = list(epochs)
        # The revision is read before the rules: when they change in between, the spec is
        # of an older revision than its rules, and the session is placed again.
        rows = logins.of_sessions(sessions)
        rules_of = rules.for_sessions(sessions)
        ids = senders.ids_of(it for them in rules_of.values() for it in them)
        for it in rows:
            yield SessionSpec(
                it.id,
                it.name,
                it.tier,
                it.login,
                tuple(
                    RuleSpec(
                        rule.id,
                        tuple(rule.sources),
                        tuple(rule.destinations),
                        rule.mode,
                        rule.filter,
                        tuple(rule.transform),
                        tuple(rule.sync),
                        _with_ids(rule.options, ids.get(rule.id)),
                    )
                    for rule in rules_of.get(it.id, ())
                ),
                epoch=epochs[it.id],
                revision=it.revision,
                proxy=it.proxy or 0,
                sealed_proxy=it.sealed_proxy or "",
                sealed_device=it.device,
                proof=self._proof,
                new_since=self._new_since(it),
                new_seconds=self._new_seconds if self._new_since(it) else 0,
            )

    def _new_since(self, it: Login) -> int:
        """Return since when an account is new; 0 if it is not.

        Of an imported login nobody knows for how long it has been used.
        """
        is_new = self._new_seconds and it.account is not None and not it.bot
        return int(it.created_at.timestamp()) if is_new else 0


def _with_ids(options: dict[str, Any], ids: Mapping[str, int] | None) -> dict[str, Any]:
    """Return a rule's options with the ids of its senders; 0 for one that does not exist."""
    if ids is None:
        return options
    return {**options, "senders": {it: ids.get(it, 0) for it in options["senders"]}}
