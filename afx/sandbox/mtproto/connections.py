"""Which connections are open, which key each uses, and which accounts are live."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from afx.sandbox.mtproto.connection import Connection


@dataclass(slots=True, frozen=True)
class Overlap:
    """A key that was used on two connections at once, and so is revoked."""

    account: int
    first_opened_at: float
    second_opened_at: float
    spoke_at: float


class ConnectionTable:
    """The open connections, by key and by account."""

    def __init__(self) -> None:
        self.overlaps: list[Overlap] = []
        self.live: dict[int, set[Connection]] = {}
        """Account → the connections to which its updates are pushed."""
        self.exits: dict[int, set[str]] = {}
        """Account → the addresses that its connections came from."""
        self.two_exits: list[tuple[int, str, str]] = []
        """Accounts that came from two addresses at once."""
        self._open: set[Connection] = set()
        self._by_key: dict[int, list[Connection]] = {}
        self._caught_up: dict[int, float] = {}

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[Connection]:
        return iter(self._open)

    # --- what a connection reports ------------------------------------------

    def opened(self, connection: Connection) -> None:
        """Add a new connection, whose key is not known yet."""
        self._open.add(connection)

    def bind(self, connection: Connection) -> None:
        """Record that a connection uses its key from now on.

        It supersedes older connections of the same key. Whether such a client
        still runs is seen when it answers the probe; then the key is revoked.
        """
        assert connection.key is not None
        siblings = self._by_key.setdefault(connection.key.key_id, [])
        if account := connection.key.account_id:
            self.exits.setdefault(account, set()).add(connection.peer)
            self.two_exits += [
                (account, it.peer, connection.peer)
                for it in siblings
                if it.peer != connection.peer and not it.closed
            ]
        siblings.append(connection)
        if not connection.wire.rules.media_connections_allowed:
            self.used_for_api(connection)

    def used_for_api(self, connection: Connection) -> None:
        """Record that a connection is used for more than files."""
        if connection.is_main:
            return
        assert connection.key is not None
        connection.is_main = True
        for older in self._by_key[connection.key.key_id]:
            if older is not connection and older.is_main and older.superseded_at is None:
                older.superseded_at = time.monotonic()
                older.probe()

    def used_while_superseded(self, connection: Connection) -> None:
        """Revoke the key of a superseded connection that is still in use."""
        key = connection.key
        assert key is not None
        siblings = self._by_key.get(key.key_id, [])
        newer = [it for it in siblings if it.opened_at > connection.opened_at and it.is_live_main]
        if not newer or key.revoked:
            return
        key.revoked = True
        self.overlaps.append(
            Overlap(key.account_id, connection.opened_at, newer[-1].opened_at, time.monotonic())
        )

    def subscribe(self, connection: Connection) -> None:
        """Push updates to a connection from now on, if it is signed in.

        Of the connections of one login only the last active one gets them
        (core.telegram.org/api/updates, "Subscribing to updates").
        """
        assert connection.key is not None
        if connection.key.account_id:
            for other in self._by_key.get(connection.key.key_id, ()):
                if other.subscribed:
                    self._unsubscribe(other)
            connection.subscribed = True
            self.live.setdefault(connection.key.account_id, set()).add(connection)

    def closed(self, connection: Connection) -> None:
        """Remove a closed connection."""
        self._open.discard(connection)
        if connection.key is None:
            return
        self._unsubscribe(connection)
        siblings = self._by_key.get(connection.key.key_id, [])
        if connection in siblings:
            siblings.remove(connection)
            if not siblings:
                del self._by_key[connection.key.key_id]

    # --- what the API reports -----------------------------------------------

    def log_out(self, key_id: int) -> None:
        """Push nothing more to the connections of a key."""
        for connection in self._by_key.get(key_id, ()):
            self._unsubscribe(connection)

    def note_caught_up(self, account: int) -> None:
        """Record that an account has received all that it missed."""
        self._caught_up.setdefault(account, time.monotonic())

    # --- for the control channel --------------------------------------------

    def drop(self, account: int = 0) -> int:
        """Cut an account's connections, or all; returns how many."""
        chosen = [
            it for it in self._open if not account or (it.key and it.key.account_id == account)
        ]
        for connection in chosen:
            connection.abort()
        return len(chosen)

    def forget_sessions(self, account: int = 0) -> int:
        """Forget the MTProto sessions of an account's connections, or all; returns how many.

        The connections stay open (mtproto/service_messages, new_session_created).
        """
        chosen = [
            it for it in self._open if it.session and it.key and account in (0, it.key.account_id)
        ]
        for connection in chosen:
            connection.forget_session()
        return len(chosen)

    def status(self, account: int) -> dict[str, Any]:
        """Return whether an account is connected, and since when it is up to date."""
        live = self.live.get(account, ())
        return {
            "connected": bool(live),
            "opened_at": max((it.opened_at for it in live), default=None),
            "caught_up_at": self._caught_up.get(account),
        }

    def overlap_rows(self) -> list[dict[str, Any]]:
        """Return the overlaps as plain values."""
        return [asdict(it) for it in self.overlaps]

    def _unsubscribe(self, connection: Connection) -> None:
        assert connection.key is not None
        connection.subscribed = False
        live = self.live.get(connection.key.account_id)
        if live:
            live.discard(connection)
            if not live:
                del self.live[connection.key.account_id]
                self._caught_up.pop(connection.key.account_id, None)
