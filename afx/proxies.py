"""The proxy through which a session reaches Telegram: what it is, and how it is written.

It is written as ``socks5://[USER:PASSWORD@]HOST:PORT``, ``http://[USER:PASSWORD@]HOST:PORT``
(CONNECT) or ``mtproxy://SECRET@HOST:PORT``, or as one of Telegram's own links
(core.telegram.org/api/links, "MTProxy links" and "Socks5 proxy links"). An IPv6 address is
in brackets.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import parse_qs, quote, unquote, urlsplit

from afx.errors import UsageError

LONGEST = 2048
_MOST_LOGIN_BYTES = 255
"""RFC 1929: a name and a password have one byte for their length."""
_SECRET_BYTES = 16
_LINK_HOSTS = ("t.me", "telegram.me")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9])?", re.ASCII)
_ADVICE = (
    "write socks5://USER:PASSWORD@HOST:PORT, http://USER:PASSWORD@HOST:PORT or "
    "mtproxy://SECRET@HOST:PORT"
)


class ProxyKind(StrEnum):
    """How a proxy is spoken to."""

    SOCKS5 = "socks5"
    """RFC 1928, with the login of RFC 1929."""
    HTTP = "http"
    """CONNECT, RFC 9110, 9.3.6."""
    MTPROXY = "mtproxy"
    """core.telegram.org/mtproto/mtproto-transports, "Transport obfuscation"."""


@dataclass(slots=True, frozen=True)
class Proxy:
    """One proxy, with what it asks for."""

    kind: ProxyKind
    host: str
    port: int
    user: str = ""
    password: str = ""
    secret: bytes = b""
    """Of an MTProxy: 16 bytes."""

    def __str__(self) -> str:
        """Return it without what is secret: it may be in messages and logs."""
        return f"{self.kind}://{_bracketed(self.host)}:{self.port}"

    __repr__ = __str__

    @property
    def url(self) -> str:
        """The whole, secrets included, as ``parse_proxy`` takes it."""
        login = self.secret.hex()
        if self.user or self.password:
            login = f"{quote(self.user, safe='')}:{quote(self.password, safe='')}"
        at = f"{login}@" if login else ""
        return f"{self.kind}://{at}{_bracketed(self.host)}:{self.port}"


def parse_proxy(text: str) -> Proxy:
    """Return the proxy that a text describes; raises UsageError.

    No message repeats the text: it may hold a password.
    """
    text = text.strip()
    if len(text) > LONGEST:
        raise UsageError(f"The proxy's address is too long; {_ADVICE}.")
    if not text.isascii() or not text.isprintable() or " " in text:
        raise UsageError(f"The proxy's address has characters that no address has; {_ADVICE}.")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise UsageError(f"The proxy's address is malformed; {_ADVICE}.") from None
    link = _link_kind(parts.scheme, parts.netloc, parts.path)
    if link:
        return _from_link(link, parts.query)
    try:
        kind = ProxyKind(parts.scheme)
    except ValueError:
        raise UsageError(f"The proxy is of no known kind; {_ADVICE}.") from None
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise UsageError(f"The proxy's address has something behind its port; {_ADVICE}.")
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    host = parts.hostname or ""
    if kind is ProxyKind.MTPROXY:
        if password:
            raise UsageError("An MTProxy has a secret only; write mtproxy://SECRET@HOST:PORT.")
        return _checked(Proxy(kind, host, port or 0, secret=_secret(user)))
    return _checked(Proxy(kind, host, port or 0, user, password))


def _link_kind(scheme: str, place: str, path: str) -> str:
    """Return ``proxy`` or ``socks`` for one of Telegram's links."""
    name = place if scheme == "tg" else path.strip("/")
    is_link = scheme == "tg" or (scheme in ("http", "https") and place in _LINK_HOSTS)
    return name if is_link and name in ("proxy", "socks") else ""


def _from_link(name: str, query: str) -> Proxy:
    try:
        values = {it: found[0] for it, found in parse_qs(query, max_num_fields=8).items()}
    except ValueError:
        raise UsageError(f"The proxy's link is malformed; {_ADVICE}.") from None
    host, digits = values.get("server", ""), values.get("port", "")
    port = int(digits) if re.fullmatch("[0-9]{1,5}", digits) else 0
    if name == "proxy":
        secret = _secret(values.get("secret", ""))
        return _checked(Proxy(ProxyKind.MTPROXY, host, port, secret=secret))
    user, password = values.get("user", ""), values.get("pass", "")
    return _checked(Proxy(ProxyKind.SOCKS5, host, port, user, password))


def _secret(text: str) -> bytes:
    """Return an MTProxy's secret, written as hexadecimal digits or base64."""
    try:
        secret = bytes.fromhex(text)
    except ValueError:
        try:
            padded = text.replace("+", "-").replace("/", "_") + "=" * (-len(text) % 4)
            secret = base64.b64decode(padded, altchars=b"-_", validate=True)
        except (ValueError, binascii.Error):
            secret = b""
    if secret[:1] == b"\xee" and len(secret) > _SECRET_BYTES:
        raise UsageError(
            "MTProxies with fake TLS (a secret that begins with ee) are not supported; use one "
            "whose secret begins with dd, or a SOCKS5 proxy."
        )
    if len(secret) == _SECRET_BYTES + 1 and secret[:1] == b"\xdd":
        secret = secret[1:]  # it wants padded packets, which is all that is sent here
    if len(secret) != _SECRET_BYTES:
        raise UsageError(
            "The MTProxy's secret is malformed; it has 32 hexadecimal digits, or dd and 32."
        )
    return secret


def _checked(proxy: Proxy) -> Proxy:
    """Return a proxy whose values can be sent as they are; raises UsageError."""
    if not 1 <= proxy.port <= 65_535:
        raise UsageError(f"The proxy's port is missing, or none from 1 to 65535; {_ADVICE}.")
    try:
        ipaddress.ip_address(proxy.host)
    except ValueError:
        if not _HOST.fullmatch(proxy.host):
            raise UsageError(
                f"The proxy's host is neither a name nor an address; {_ADVICE}."
            ) from None
    if any(
        len(it.encode()) > _MOST_LOGIN_BYTES or not it.isprintable()
        for it in (proxy.user, proxy.password)
    ):
        raise UsageError(
            "The proxy's user or password has more than 255 bytes, or control characters."
        )
    if proxy.password and not proxy.user:
        raise UsageError(f"The proxy has a password and no user; {_ADVICE}.")
    if proxy.kind is ProxyKind.SOCKS5 and proxy.user and not proxy.password:
        raise UsageError(f"The proxy has a user and no password; {_ADVICE}.")
    if proxy.kind is ProxyKind.HTTP and ":" in proxy.user:
        raise UsageError("The user of an HTTP proxy cannot contain a colon (RFC 7617).")
    return proxy


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
