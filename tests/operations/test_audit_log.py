"""Checking the audit log against the noted head, and accepting one that was damaged."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis as redis_module
from support.databases import unguarded

from afx.app import ProcessServers
from afx.cluster import audit_heads, keys
from afx.cluster.audit_heads import HeadState
from afx.config import load
from afx.errors import UsageError
from afx.operations import audit_log, users
from afx.operations.context import Actor, Context
from models import base
from models.audit_tables import AuditEntry

Contexts = Callable[..., Context]


@pytest.fixture
def contexts(home: Path, redis_url: str) -> Iterator[Contexts]:
    """Return what makes contexts; the log has three entries, and its head is noted."""
    with ProcessServers(load(home=home, redis_url=redis_url)) as servers:

        def make(reason: str = "", *, dry_run: bool = False) -> Context:
            return servers.context(Actor("me"), reason=reason, dry_run=dry_run)

        for name in ("a", "b", "c"):
            users.add(make(), name, "free")
        note(make())
        yield make


def note(context: Context) -> None:
    verdict = audit_log.verify(context)
    head = audit_heads.sealed_head(verdict.entries, verdict.digest, context.servers.audit_keys()[0])
    context.servers.redis().set(keys.AUDIT_HEAD, head)


def cut_off(after: int) -> None:
    digest = AuditEntry.get_by_id(after).digest
    with unguarded(base.proxy.obj):
        base.execute("DELETE FROM audit_log WHERE id > ?", after)
    base.execute("UPDATE audit_head SET entries = ?, digest = ?", after, digest)


def test_a_log_that_was_cut_off_is_found_by_the_noted_head(contexts: Contexts) -> None:
    assert audit_log.verify(contexts()).faults == ()
    cut_off(2)
    assert "but 3 were noted" in audit_log.verify(contexts()).faults[0]


def test_a_forged_head_is_a_fault(contexts: Contexts, redis: redis_module.Redis) -> None:
    redis.set(keys.AUDIT_HEAD, f"3:{'0' * 64}:{'0' * 64}")
    assert "noted head in Redis was changed" in audit_log.verify(contexts()).faults[0]


def test_a_damaged_log_is_accepted_with_a_reason(contexts: Contexts) -> None:
    cut_off(2)
    with pytest.raises(UsageError, match="--reason"):
        audit_log.accept(contexts())
    audit_log.accept(contexts("a disk failed"))
    context = contexts()
    noted = audit_heads.read_head(context.servers.redis(), context.servers.audit_keys())
    assert (noted.state, noted.entries) == (HeadState.NOTED, 3)
    assert audit_log.verify(context).faults == ()
    [entry] = audit_log.listing(context, action="audit.accept").rows
    assert entry.details["reason"] == "a disk failed"
    assert entry.details["before"]["head"].startswith("3:")


def test_a_dry_run_accepts_nothing(contexts: Contexts) -> None:
    cut_off(2)
    audit_log.accept(contexts("why", dry_run=True))
    assert audit_log.verify(contexts()).faults


def test_a_sound_log_needs_no_acceptance(contexts: Contexts) -> None:
    with pytest.raises(UsageError, match="nothing to accept"):
        audit_log.accept(contexts("why"))
