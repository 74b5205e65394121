"""Sockets to Telegram through a proxy: SOCKS5 (RFC 1928, 1929) and HTTP CONNECT (RFC 9110).

What the proxy answers is untrusted: it is read by the byte up to the end of the answer, and
is bounded. Nothing here ever connects without the proxy.
"""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import os
import re
import socket
import struct
from collections.abc import Awaitable
from typing import Any

from afx.proxies import Proxy, ProxyKind
from afx.reasons import FailureReason

_MOST_HEAD = 8 * 1024
"""Bytes of the head of an HTTP answer."""
_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3})(?: |\r|$)")
_SOCKS_REFUSALS = {
    1: "general failure",
    2: "not allowed by its rules",
    3: "network unreachable",
    4: "host unreachable",
    5: "connection refused",
    6: "time to live expired",
    7: "command not supported",
    8: "kind of address not supported",
}


class ProxyError(ConnectionError):
    """Telegram cannot be reached through the session's proxy.

    Its text has no address: owners of sessions see it, and a proxy is the operator's.
    """

    def __init__(self, reason: FailureReason, text: str) -> None:
        """``reason`` is PROXY_UNREACHABLE or PROXY_REFUSED."""
        super().__init__(f"its proxy {text}")
        self.reason = reason


def proxy_error_in(error: BaseException | None) -> ProxyError | None:
    """Return the fault of a proxy that an error was raised for, if any."""
    for _ in range(8):
        if error is None or isinstance(error, ProxyError):
            return error
        error = error.__cause__ or error.__context__
    return None


async def answered_through(proxy: Proxy, answer: Awaitable[Any], seconds: float) -> Any:
    """Return Telegram's first answer through a proxy; raises ProxyError when none comes.

    An MTProxy that does not know the secret may keep the connection open in silence.
    """
    try:
        async with asyncio.timeout(seconds):
            return await answer
    except TimeoutError as error:
        text = "passes nothing on"
        if proxy.kind is ProxyKind.MTPROXY:
            text += "; its secret may be wrong"
        raise ProxyError(FailureReason.PROXY_REFUSED, text) from error


async def socket_to(proxy: Proxy) -> socket.socket:
    """Return a socket that is connected to a proxy; raises ProxyError.

    The caller sets the deadline and closes the socket.
    """
    loop = asyncio.get_running_loop()
    problem: Exception | None = None
    try:
        found = await loop.getaddrinfo(proxy.host, proxy.port, type=socket.SOCK_STREAM)
    except OSError as error:
        found, problem = [], error
    for family, kind, protocol, _name, address in found:
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setblocking(False)
            await loop.sock_connect(sock, address)
        except OSError as error:
            sock.close()
            problem = error
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise ProxyError(
        FailureReason.PROXY_UNREACHABLE,
        f"cannot be reached ({_why(problem) if problem else 'it has no address'})",
    ) from problem


async def socket_through(proxy: Proxy, host: str, port: int) -> socket.socket:
    """Return a socket that leads through a SOCKS5 or HTTP proxy to a server.

    ``host`` is an IP address. Raises ProxyError; the caller sets the deadline.
    """
    sock = await socket_to(proxy)
    try:
        address = ipaddress.ip_address(host)
        if proxy.kind is ProxyKind.SOCKS5:
            await _ask_socks(sock, proxy, address, port)
        else:
            await _ask_http(sock, proxy, address, port)
    except OSError as error:
        sock.close()
        if isinstance(error, ProxyError):
            raise
        text = f"ended the connection ({_why(error)})"
        raise ProxyError(FailureReason.PROXY_REFUSED, text) from error
    except BaseException:
        sock.close()
        raise
    return sock


Address = ipaddress.IPv4Address | ipaddress.IPv6Address


async def _ask_socks(sock: socket.socket, proxy: Proxy, address: Address, port: int) -> None:
    loop = asyncio.get_running_loop()
    method = 2 if proxy.user else 0
    await loop.sock_sendall(sock, bytes((5, 1, method)))
    version, chosen = await _read(sock, 2)
    if version != 5:
        raise _refused("does not speak SOCKS5")
    if chosen != method:
        wanted = "a user and a password" if chosen == 2 or not proxy.user else "another login"
        raise _refused(f"wants {wanted}")
    if method == 2:
        user, password = proxy.user.encode(), proxy.password.encode()
        login = bytes((1, len(user))) + user + bytes((len(password),)) + password
        await loop.sock_sendall(sock, login)
        if (await _read(sock, 2))[1] != 0:
            raise _refused("does not accept its user and password")
    kind = 1 if address.version == 4 else 4
    await loop.sock_sendall(sock, bytes((5, 1, 0, kind)) + address.packed + struct.pack(">H", port))
    _version, answer, _reserved, kind = await _read(sock, 4)
    if answer != 0:
        why = _SOCKS_REFUSALS.get(answer, f"error {answer}")
        raise _refused(f"does not connect to Telegram ({why})")
    if kind == 3:
        size = (await _read(sock, 1))[0]
    elif kind in (1, 4):
        size = 4 if kind == 1 else 16
    else:
        raise _refused("does not speak SOCKS5")
    await _read(sock, size + 2)


async def _ask_http(sock: socket.socket, proxy: Proxy, address: Address, port: int) -> None:
    loop = asyncio.get_running_loop()
    to = f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"
    lines = [f"CONNECT {to} HTTP/1.1", f"Host: {to}"]
    if proxy.user:
        login = base64.b64encode(f"{proxy.user}:{proxy.password}".encode()).decode()
        lines.append(f"Proxy-Authorization: Basic {login}")
    await loop.sock_sendall(sock, "\r\n".join((*lines, "", "")).encode())
    head = b""
    # By the byte: what follows is of the tunnel.
    while not head.endswith(b"\r\n\r\n"):
        if len(head) >= _MOST_HEAD:
            raise _refused("does not speak HTTP")
        head += await _read(sock, 1)
    match = _STATUS.match(head)
    if match is None:
        raise _refused("does not speak HTTP")
    status = int(match[1])
    if status == 407:
        raise _refused("does not accept its user and password")
    if not 200 <= status < 300:
        raise _refused(f"does not connect to Telegram (status {status})")


def _why(error: Exception) -> str:
    """Return what an error says; asyncio's own texts have the address in them."""
    number = error.errno if isinstance(error, OSError) else None
    return os.strerror(number) if number and number > 0 else str(error)


def _refused(text: str) -> ProxyError:
    return ProxyError(FailureReason.PROXY_REFUSED, text)


async def _read(sock: socket.socket, size: int) -> bytes:
    loop = asyncio.get_running_loop()
    data = b""
    while len(data) < size:
        more = await loop.sock_recv(sock, size - len(data))
        if not more:
            raise ConnectionError("it was closed")
        data += more
    return data
