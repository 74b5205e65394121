"""What a node needs of the settings, and no more: neither it nor its host reads any file.

A node is many processes on small machines. The classes of ``config`` cost each of them
11 MiB of RAM (pydantic-settings and what it imports); these are plain.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

from afx.lease import PROFILES, LeaseProfile
from afx.security.login_servers import LoginServers, parse_networks


@dataclass(frozen=True, kw_only=True)
class NodeSettings:
    """Checked settings; each has the name and unit of the one in ``config.Settings``."""

    home: Path
    secret_key: str
    log_level: str
    api_id: int
    api_hash: str
    test_networks: str
    lease_profile: str
    heartbeat_seconds: float
    host_stall_seconds: float
    labels: dict[str, str]
    task_slots: int
    max_sessions: int
    ram_limit_mib: int
    processes: int
    start_timeout_seconds: float
    poll_seconds: float
    flush_seconds: float
    link_days: int
    metrics_address: str
    webhook_networks: str = ""
    output_directory: str = ""

    @property
    def lease(self) -> LeaseProfile:
        """The times of the chosen lease profile."""
        return PROFILES[self.lease_profile]

    @cached_property
    def login_servers(self) -> LoginServers:
        """The servers to which logins may lead."""
        return LoginServers(self.home, parse_networks(self.test_networks))

    def to_json(self) -> str:
        """Return them for another process of this node; secrets are in it."""
        return json.dumps(asdict(self) | {"home": str(self.home)})

    @classmethod
    def from_json(cls, text: str) -> NodeSettings:
        """Return what ``to_json`` returned in another process."""
        values = json.loads(text)
        return cls(**values | {"home": Path(values["home"])})
