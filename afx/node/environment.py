"""What all sessions of a host share."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from afx.clock import Clock
from afx.node.admission import LinkSource
from afx.node.closed_routes import RuleTrouble
from afx.node.guarded_chats import GuardedChats
from afx.node.outputs import Outputs
from afx.node.pool_desk import PoolDesk
from afx.node.progress import Totals
from afx.node.sealer import Sealer
from afx.reasons import TroubleReason
from afx.telegram.client import Pings
from afx.telegram.transfers import PARTS_AT_ONCE, Parts

HostedSession = Any
"""A session, which has one of these (see ``session``)."""


@dataclass(slots=True, frozen=True, kw_only=True)
class Environment:
    """What all sessions of a host share."""

    api_id: int
    api_hash: str
    connection: type
    """The class of Telethon connections; it checks the lease before each write."""
    may_write: Callable[[], bool]
    """Whether the node's lease still lasts."""
    links: LinkSource
    """Where the links of earlier runs are read."""
    chats: GuardedChats
    store: Callable[[HostedSession], Awaitable[bool]]
    """Commits a session's progress until it is stored; False: another node has it by now."""
    dirty: Callable[[HostedSession], None]
    """Called when a session has progress to commit."""
    gave_up: Callable[[HostedSession, BaseException], None]
    """Called when a session's login no longer works."""
    trouble: Callable[[HostedSession, TroubleReason, str], None]
    rule_changed: Callable[[HostedSession, int, RuleTrouble | None], None]
    """Called when a rule does not forward all that it should, or does so again (None)."""
    login_limit: Callable[[HostedSession, int], None]
    """Called with the days without use after which a session's login ends."""
    clock: Clock
    rng: random.Random
    totals: Totals
    outputs: Outputs | None = None
    """What destinations that are no chats need; None: rules cannot have any here."""
    pools: PoolDesk | None = None
    """Where rules with senders ask for their sends; None: they cannot here."""
    sealer: Sealer | None = None
    """Encrypts contents that are stored; None: none are stored, or shown."""
    pings: Pings = field(default_factory=Pings)
    file_parts: Parts = field(default_factory=lambda: Parts(PARTS_AT_ONCE))
    """Parts of files that may be in memory at once."""
