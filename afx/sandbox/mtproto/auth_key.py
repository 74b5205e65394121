"""An authorization key, and what the server remembers with it.

Source: core.telegram.org/mtproto/description (authorization key).
"""

from __future__ import annotations

import struct
import time
from dataclasses import dataclass, field
from hashlib import sha1

from afx.sandbox.mtproto.salts import Salts
from afx.sandbox.mtproto.session import Sessions


@dataclass(slots=True, eq=False)
class AuthKey:
    """One authorization key: 256 bytes shared with one login of an account."""

    data: bytes
    account_id: int = 0
    claims: int = 0
    """The account whose password is still to be given."""
    revoked: bool = False
    made_at: float = field(default_factory=time.time)
    used_at: float = field(default_factory=time.time)
    """When a request last came with it."""
    layer: int = 0
    """The layer of the client's last initConnection; 0 before the first."""
    salts: Salts = field(default_factory=Salts)
    sessions: Sessions = field(default_factory=Sessions)
    key_id: int = field(init=False)

    def __post_init__(self) -> None:
        self.key_id = struct.unpack("<Q", sha1(self.data).digest()[12:20])[0]

    @property
    def salt(self) -> int:
        """The salt that messages should carry now."""
        return self.salts.current
