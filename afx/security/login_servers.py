"""To which servers a login may lead: Telegram's networks, and those that the operator names.

A login string contains the address of its data centre. Whoever hands in a login would
otherwise choose where a node connects to.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_TELEGRAM = tuple(
    ipaddress.ip_network(it)
    for it in (
        # https://core.telegram.org/resources/cidr.txt
        "91.105.192.0/23",
        "91.108.4.0/22",
        "91.108.8.0/22",
        "91.108.12.0/22",
        "91.108.16.0/22",
        "91.108.20.0/22",
        "91.108.56.0/22",
        "95.161.64.0/20",
        "149.154.160.0/20",
        "185.76.151.0/24",
        "2001:67c:4e8::/48",
        "2001:b28:f23c::/48",
        "2001:b28:f23d::/48",
        "2001:b28:f23f::/48",
        "2a0a:f280::/32",
    )
)
_TELEGRAM_PORTS = (80, 443, 5222)
_SANDBOX_FILE = "sandbox.json"
_SANDBOX_LIMIT = 64 * 1024

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def parse_networks(text: str) -> list[Network]:
    """Return comma-separated networks; raises ValueError when one is none."""
    return [ipaddress.ip_network(it.strip()) for it in text.split(",") if it.strip()]


@dataclass(slots=True, frozen=True)
class LoginServers:
    """The servers that logins may name."""

    home: Path
    """Where the sandbox of this home, if one runs, has written its address."""
    test_networks: Sequence[Network] = ()

    def allows(self, host: str, port: int) -> bool:
        """Return whether a login may lead to a server."""
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False  # a name: whoever answers for it would choose the address
        if any(address in it for it in _TELEGRAM):
            return port in _TELEGRAM_PORTS
        return any(address in it for it in self.test_networks) or self._is_sandbox(host, port)

    def _is_sandbox(self, host: str, port: int) -> bool:
        # Read each time: a sandbox may have started since, and only its sessions ask.
        try:
            with (self.home / _SANDBOX_FILE).open("rb") as file:
                address = json.loads(file.read(_SANDBOX_LIMIT))
            return (address["host"], address["port"]) == (host, port)
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return False
