"""What all connections of one server share, and what the code below them needs of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from afx.sandbox.answers import Answer
from afx.sandbox.mtproto import crypto
from afx.sandbox.mtproto.auth_key import AuthKey
from afx.sandbox.strictness import Strictness


class Line(Protocol):
    """A connection, as far as the execution of its requests needs to know it."""

    wire: Wire
    key: AuthKey | None
    subscribed: bool
    is_main: bool

    def flush(self) -> None:
        """Write all that is queued."""

    def close(self) -> None:
        """Close the connection after what is written has gone out."""

    def close_after(self, seconds: float) -> None:
        """Close the connection then, unless this is called again."""

    def forget_session(self) -> None:
        """Forget the MTProto session with all that was to be sent in it."""


class LinkFaults(Protocol):
    """Faults of the network between clients and the sandbox."""

    delay_seconds: float
    refusing: bool

    def shuffle(self, requests: list[tuple[int, bytes]]) -> None:
        """Change the order in which parallel requests are executed, or leave it."""


class Registry(Protocol):
    """Learns which connections are open, and which key each one uses."""

    def opened(self, connection: Any) -> None:
        """A connection is open; its key is not known yet."""

    def closed(self, connection: Any) -> None:
        """A connection is closed."""

    def bind(self, connection: Any) -> None:
        """A connection uses its key from now on."""

    def used_for_api(self, connection: Any) -> None:
        """A connection is used for more than files."""

    def used_while_superseded(self, connection: Any) -> None:
        """A connection was used although a newer one has the same key."""

    def subscribe(self, connection: Any) -> None:
        """A connection wants its account's updates from now on."""


@dataclass(slots=True, frozen=True)
class Wire:
    """What all connections of one server share."""

    loop: asyncio.AbstractEventLoop
    rsa: crypto.ServerKey
    keys: dict[int, AuthKey]
    """Every authorization key, by its id."""
    registry: Registry
    faults: LinkFaults
    call: Callable[[Any, Any], Answer]
    """Answers a request of the API; raises RpcError to refuse it."""
    rules: Strictness
    data_centre: int = 2
    """The number of the data centre whose address was connected to."""
