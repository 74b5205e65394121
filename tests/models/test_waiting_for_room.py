"""Which sessions of the overflow queue more nodes would help."""

from __future__ import annotations

from typing import Any

from models.storage import queue, sessions, users
from models.storage.sessions import NewSession


def test_sessions_that_wait_for_labels_do_not_wait_for_room(database: Any) -> None:
    free = sessions.create_many(users.create("f"), [NewSession(f"f{it}", "x") for it in range(3)])
    premium = sessions.create_many(users.create("p", "premium"), [NewSession("p", "x")])
    queue.put_many([(it, "all nodes are full") for it in (*free[:2], *premium)])
    queue.put_many([(free[2], queue.NO_LABELS + "region=mars")])
    assert queue.count_without_room() == 3
