"""The spec of a session, from which a node starts it: its sealed login and its rules."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import redis

from afx.cluster import keys
from afx.cluster.writes import write


@dataclass(slots=True, frozen=True)
class RuleSpec:
    """One rule as a node needs it; chats are marked ids or ``@name``."""

    id: int
    sources: tuple[str, ...]
    destinations: tuple[str, ...]
    mode: str
    """``copy`` or ``forward``."""


@dataclass(slots=True, frozen=True)
class SessionSpec:
    """All that a node needs to run a session."""

    session: int
    name: str
    tier: str
    login: str
    """The login, sealed by the vault."""
    rules: tuple[RuleSpec, ...]

    def to_json(self) -> str:
        """Return the spec as it is stored in Redis."""
        return json.dumps(asdict(self), separators=(",", ":"))


def parse(text: str) -> SessionSpec:
    """Read a spec back from Redis."""
    fields: dict[str, Any] = json.loads(text)
    rules = tuple(
        RuleSpec(it["id"], tuple(it["sources"]), tuple(it["destinations"]), it["mode"])
        for it in fields.pop("rules")
    )
    return SessionSpec(rules=rules, **fields)


def publish(client: redis.Redis, specs: Iterable[SessionSpec], term: int) -> None:
    """Write specs to Redis; raises FencedError when a newer term has begun."""
    write(client, {keys.spec(it.session): it.to_json() for it in specs}, term)
