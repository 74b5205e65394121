"""Changes of several rows by several processes at once."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

from afx.app import ProcessServers
from afx.config import load
from afx.operations import audit_log, sessions
from afx.operations.context import Actor
from models import base
from models.storage import sessions as stored
from models.storage import users
from models.storage.sessions import NewSession


def test_two_changes_of_the_same_sessions_in_another_order_take_turns(
    database: Any, home: Path
) -> None:
    with ProcessServers(load(home=home)) as servers:
        servers.vault()
        rows = [NewSession(it, "sealed", it) for it in ("s1", "s2")]
        stored.create_many(users.create("alice"), rows)
        context = servers.context(Actor("test"))
        ended: list[str] = []

        def change(names: tuple[str, ...], label: str) -> None:
            for name in names:
                sessions.require(context, name, {"kind": label})

        def other() -> None:
            base.proxy.connect()
            try:
                with base.transaction():
                    change(("s2", "s1"), "second")
                ended.append("second")
            finally:
                base.proxy.close()

        thread = threading.Thread(target=other)
        with base.transaction():
            change(("s1",), "first")
            thread.start()
            until = time.monotonic() + 60
            while base.is_postgres() and not waiting():
                assert time.monotonic() < until
                time.sleep(0.01)
            change(("s2",), "first")
        ended.append("first")
        thread.join(60)
        assert sorted(ended) == ["first", "second"]
        assert {stored.find(it).requires["kind"] for it in ("s1", "s2")} == {"second"}
        assert not audit_log.verify(context).faults


def waiting() -> int:
    """Return how many locks of Postgres somebody waits for."""
    [(count,)] = base.execute("SELECT COUNT(*) FROM pg_locks WHERE NOT granted").fetchall()
    return int(count)
