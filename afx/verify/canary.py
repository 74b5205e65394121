"""A session of our own on the private sandbox, with a rule: added for the tests, then removed."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from afx.errors import AfxError
from afx.operations import rules, sessions, users, waiting
from afx.operations.context import Context
from models.base import utc_now

_POLL_SECONDS = 0.05
_REMOVE_SECONDS = 30.0

_PREFIX = "afx-verify-"
_LEFT_OVER_AFTER = timedelta(minutes=30)
_MOST_LEFT_OVER = 10
NO_NODE = {"afx-verify": "no-such-node"}

Call = Callable[..., Any]
"""A call of the sandbox's control channel, by name."""


@dataclass(slots=True, frozen=True)
class Canary:
    """The session, and the chats that its rule joins."""

    context: Context
    call: Call
    session: str
    source: int
    destination: int

    def state(self) -> str:
        """Return the session's state."""
        return sessions.show(self.context, self.session).session.state

    def node(self) -> str:
        """Return the node that runs it; empty: none does."""
        return sessions.show(self.context, self.session).session.node or ""

    def post(self, text: str) -> float:
        """Post a message to its source; returns the monotonic time of it."""
        at = time.monotonic()
        self.call("post", chat=self.source, text=text)
        return at

    def copies(self, text: str) -> int:
        """Return how often a message was copied."""
        found = self.call("messages", chat=self.destination)
        return sum(it["text"] == text for it in found)

    def forwards(self, text: str, seconds: float) -> float:
        """Post a message, and return after how many seconds its copy was there.

        Raises AfxError when it does not come.
        """
        at = self.post(text)
        wait(lambda: self.copies(text) > 0, f"'{text}' is copied", seconds)
        return time.monotonic() - at


@contextlib.contextmanager
def canary(context: Context, call: Call) -> Iterator[Canary]:
    """Add a user, a session and a rule on the sandbox, and remove them at the end.

    The session requires a label that no node has: it waits until a test frees it.
    """
    _remove_left_over(context)
    name = f"{_PREFIX}{secrets.token_hex(4)}"
    [account] = call("provision", count=1)
    number = account["account"]
    source, destination = call(
        "channels",
        channels=[
            {"title": f"{name} source", "members": [number]},
            {"title": f"{name} copies", "posters": [number]},
        ],
    )
    users.add(context, name, "free")
    try:
        sessions.add(context, name, name, account["login"])
        sessions.require(context, name, NO_NODE)
        rules.add(context, name, sources=[str(source["id"])], destinations=[str(destination["id"])])
        yield Canary(context, call, name, source["id"], destination["id"])
    finally:
        with contextlib.suppress(AfxError):
            requested = sessions.remove(context, name)
            for _ in waiting.watch(context, [requested], timeout=_REMOVE_SECONDS):
                pass
        with contextlib.suppress(AfxError):  # without a leader; the next run removes it
            users.remove(context, name)


def _remove_left_over(context: Context) -> None:
    """Remove canaries of earlier runs that were killed."""
    before = utc_now() - _LEFT_OVER_AFTER
    for user in users.listing(context, after=_PREFIX, limit=_MOST_LEFT_OVER).rows:
        if not user.name.startswith(_PREFIX):
            continue
        if user.created_at < before:
            with contextlib.suppress(AfxError):
                requested = sessions.remove(context, user.name)
                for _ in waiting.watch(context, [requested], timeout=_REMOVE_SECONDS):
                    pass
            with contextlib.suppress(AfxError):
                users.remove(context, user.name)


def wait(done: Callable[[], bool], what: str, seconds: float) -> float:
    """Wait for a condition; returns how many seconds it took. Raises AfxError, naming it."""
    begun = time.monotonic()
    while not done():
        if time.monotonic() - begun > seconds:
            raise AfxError(f"it did not happen within {seconds:g} s that {what}")
        time.sleep(_POLL_SECONDS)
    return time.monotonic() - begun
