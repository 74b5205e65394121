"""Which of Telegram's rules the sandbox enforces: one switch for each.

docs/sandbox.md has a row for each switch: the page that documents the behaviour, the
test, and how sure we are of it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True, frozen=True)
class Strictness:
    """The rules in force; the defaults are what the forward path has to pass."""

    repeats_return_original: bool = True
    """A call with a used random_id returns the first call's messages (api/updates);
    otherwise it is refused with RANDOM_ID_DUPLICATE, as older servers did."""
    message_ids_checked: bool = True
    """Message ids and sequence numbers are checked (bad_msg_notification 16 to 35)."""
    unacknowledged_are_resent: bool = True
    """A new connection of the same MTProto session gets what was not acknowledged."""
    other_layers_refused: bool = True
    """A layer that is not spoken here is refused (CONNECTION_LAYER_INVALID)."""
    media_connections_allowed: bool = False
    """A second connection of a login that only transfers files revokes nothing, as in a
    media data centre (api/errors, AUTH_KEY_DUPLICATED); otherwise any second one does."""
    history_bounded: bool = True
    """messages.getHistory of a channel reaches no further back than its log."""
    hashes_per_account: bool = True
    """An access hash is of use to the account that it was given to alone (api/peers)."""
    connection_inited: bool = True
    """A request before the first initConnection is refused (CONNECTION_NOT_INITED)."""
    future_timestamps_refused: bool = True
    """A pts above the box's own is refused (PERSISTENT_TIMESTAMP_INVALID)."""
    dialogs_without_pts: bool = False
    """Dialogs carry no pts, as their optional field allows (constructor/dialog)."""
    flood_penalty_seconds: float = 1.0
    """How much longer a flood wait becomes with each send during it."""
