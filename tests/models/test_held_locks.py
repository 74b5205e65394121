"""What decides about held messages, and what reports of them, lock their rows in one order."""

from __future__ import annotations

import threading
import time
from typing import Any

from afx.cluster.reports import MessageHeld
from afx.coordinator import held_intake
from afx.reasons import HeldEvent
from models import base
from models.base import execute, is_postgres, transaction, utc_now
from models.storage import audit, held_messages, rules, sessions, users
from models.storage.sessions import NewSession


def test_an_approval_and_edits_that_come_in_another_order_do_not_block_each_other(
    database: Any,
) -> None:
    del database
    sessions.create_many(users.create("alice"), [NewSession("one", "sealed")])
    rule = rules.create(sessions.find("one"), ["@a_source"], ["@the_copies"])
    with transaction():
        held_intake.write([_held(rule, it, HeldEvent.HELD, 1) for it in (1, 2)])
    edits = [_held(rule, it, HeldEvent.EDITED, 5) for it in (2, 1)]
    begun = threading.Event()

    def edit() -> None:
        with base.proxy.connection_context(), transaction():
            begun.set()
            held_intake.lock(edits)
            held_intake.write(edits)

    thread = threading.Thread(target=edit)
    with transaction():
        audit.lock_head()
        if is_postgres():
            execute("SELECT 1 FROM held_messages WHERE message = 1 FOR UPDATE")
            thread.start()
            begun.wait(60)
            blocked = "SELECT COUNT(*) FROM pg_locks WHERE NOT granted"
            deadline = time.monotonic() + 60
            while not execute(blocked).fetchone()[0] and time.monotonic() < deadline:
                pass
        found = held_messages.decide(rule.id, "approved", actor="ann")
    if not is_postgres():  # it has one writer at a time
        thread.start()
    thread.join(60)
    assert [it.message for it in found] == [1, 2]
    assert {it["state"] for it in held_messages.listing().rows} == {"approved"}


def _held(rule: Any, message: int, event: HeldEvent, version: int) -> MessageHeld:
    return MessageHeld(
        node="w1",
        incarnation="w1-0",
        session_id=rule.session_id,
        epoch=1,
        source=-1001,
        destination=-1002,
        rule_id=rule.id,
        message_id=message,
        event=event,
        album=0,
        version=version,
        content="sealed",
        expires_at=int(utc_now().timestamp()) + 600,
    )
