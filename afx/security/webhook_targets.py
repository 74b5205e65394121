"""To which addresses a webhook may lead: public ones, and those that the operator names.

Whoever may add a webhook would otherwise choose what the leader connects to: its own
machine, its private network, or the service by which a cloud hands out credentials.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from urllib.parse import urlsplit

from afx.security.login_servers import Network

LONGEST_URL = 500
_PORTS = {"http": 80, "https": 443}
_NAT64 = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48"))
_METADATA = (
    ipaddress.ip_address("168.63.129.16"),  # Azure's, in a public network
    ipaddress.ip_address("192.0.0.192"),  # Oracle's
    ipaddress.ip_address("100.100.100.200"),  # Alibaba's
)
_LOCAL = (
    ipaddress.ip_network("fec0::/10"),  # RFC 3879: deprecated, and still in use
    ipaddress.ip_network("3fff::/20"),  # RFC 9637
)
"""Networks that the standard library takes for public ones."""
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def check_url(url: str) -> tuple[str, str, int, str]:
    """Return (scheme, host, port, path with query) of a webhook's URL.

    Raises ValueError, with a sentence for people, for what is not one.
    """
    if len(url) > LONGEST_URL or not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError(f"it must have at most {LONGEST_URL} ASCII characters and no spaces")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError("its host or its port is not valid") from None
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError("it must begin with https://HOST or http://HOST")
    if parts.username is not None or parts.password is not None:
        raise ValueError("it must not contain a user or a password; the signature proves who asks")
    if parts.fragment or port == 0 or "\\" in url:
        raise ValueError("it has a fragment, a backslash or port 0")
    path = parts.path or "/"
    return (
        parts.scheme,
        parts.hostname,
        port or _PORTS[parts.scheme],
        f"{path}?{parts.query}" if parts.query else path,
    )


def is_allowed(text: str, networks: Sequence[Network] = ()) -> bool:
    """Return whether a webhook may lead to an address.

    ``networks`` are those that the operator allows beside public addresses.
    """
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    inner = _embedded(address)
    if any(address in it or inner in it for it in networks):
        return True
    return _is_public(address) and _is_public(inner)


def _is_public(address: Address) -> bool:
    return (
        address.is_global
        and not address.is_multicast
        and not address.is_reserved
        and not address.is_unspecified
        and not any(address in it for it in _LOCAL if it.version == address.version)
        and address not in _METADATA
    )


def _embedded(address: Address) -> Address:
    """Return the IPv4 address to which an IPv6 one leads, or the address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if any(address in it for it in _NAT64) or not int(address) >> 32:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address
