"""An account that Telegram has moved to another data centre, and how its client follows.

Source: core.telegram.org/api/datacenter ("User Migration") and the pages of
auth.exportAuthorization and auth.importAuthorization. The client asks its old data centre for
what signs it in at the new one, once, and takes a key of its own there. The stored login stays
as it is; what the account is signed in with there is kept beside it (``afx.node.moved_login``).

Of the other 303 (api/errors): FILE_MIGRATE is followed for that file, PHONE_MIGRATE and
NETWORK_MIGRATE are about who has not signed in yet, and sign-ins follow them. A session that
gets one of these all the same repeats its request where it is: a key is valid there alone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from telethon.tl import functions


@dataclass(slots=True, frozen=True)
class Move:
    """Where an account's client goes, and what signs it in there."""

    data_centre: int
    address: str
    port: int
    account: int
    token: bytes

    @property
    def request(self) -> Any:
        """What signs in."""
        return functions.auth.ImportAuthorizationRequest(self.account, self.token)


async def prepare(ask: Callable[[Any], Awaitable[Any]], data_centre: int) -> Move | None:
    """Ask the present data centre for a move; None when it lists no address of the new one.

    ``ask`` makes a request. Raises RPCError when it is refused, and ConnectionError.
    """
    config = await ask(functions.help.GetConfigRequest())
    for it in config.dc_options:
        if it.id == data_centre and not (it.ipv6 or it.media_only or it.cdn or it.tcpo_only):
            exported = await ask(functions.auth.ExportAuthorizationRequest(data_centre))
            return Move(data_centre, it.ip_address, it.port, exported.id, exported.bytes)
    return None
