"""A SOCKS5 proxy (RFC 1928), with a login (RFC 1929) or without, and an HTTP one (CONNECT)."""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import struct

from afx.sandbox.fronts.front import Change, Front, RefusedError

Way = tuple[asyncio.StreamReader, asyncio.StreamWriter, Change, Change]


def unchanged(data: bytes) -> bytes:
    """Return data as it is."""
    return data


class Socks5:
    """Greets as a SOCKS5 proxy does."""

    def __init__(self, user: str = "", password: str = "") -> None:
        self._login = (user.encode(), password.encode())

    async def __call__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, front: Front
    ) -> Way:
        """Agree upon the login and the server; raises RefusedError."""
        version, count = await reader.readexactly(2)
        methods = await reader.readexactly(count)
        wanted = 2 if self._login[0] else 0
        if version != 5 or wanted not in methods:
            writer.write(b"\x05\xff")
            await writer.drain()
            raise RefusedError("no method of both")
        writer.write(bytes((5, wanted)))
        if wanted == 2:
            await self._check_login(reader, writer)
        _version, command, _, kind = await reader.readexactly(4)
        if command != 1 or kind not in (1, 4):
            writer.write(b"\x05\x07\x00\x01" + bytes(6))
            await writer.drain()
            raise RefusedError("not a connection to an address")
        address = ipaddress.ip_address(await reader.readexactly(4 if kind == 1 else 16))
        [port] = struct.unpack(">H", await reader.readexactly(2))
        try:
            server = await front.connect(str(address), port)
        except OSError as error:
            writer.write(b"\x05\x05\x00\x01" + bytes(6))
            await writer.drain()
            raise RefusedError("no server there") from error
        writer.write(b"\x05\x00\x00\x01" + bytes(6))
        return *server, unchanged, unchanged

    async def _check_login(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        _, size = await reader.readexactly(2)
        user = await reader.readexactly(size)
        password = await reader.readexactly((await reader.readexactly(1))[0])
        fits = (user, password) == self._login
        writer.write(bytes((1, not fits)))
        if not fits:
            await writer.drain()
            raise RefusedError("wrong login")


class HttpConnect:
    """Greets as an HTTP proxy does."""

    def __init__(self, user: str = "", password: str = "") -> None:
        login = base64.b64encode(f"{user}:{password}".encode())
        self._login = b"Proxy-Authorization: Basic " + login if user else b""

    async def __call__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, front: Front
    ) -> Way:
        """Agree upon the login and the server; raises RefusedError."""
        lines = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
        method, to, _version = lines[0].split(b" ")
        if self._login and self._login not in lines:
            await self._refuse(writer, b"407 Proxy Authentication Required")
        if method != b"CONNECT":
            await self._refuse(writer, b"405 Method Not Allowed")
        host, _, port = to.decode().rpartition(":")
        try:
            server = await front.connect(host.strip("[]"), int(port))
        except OSError:
            await self._refuse(writer, b"502 Bad Gateway")
            raise
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        return *server, unchanged, unchanged

    @staticmethod
    async def _refuse(writer: asyncio.StreamWriter, status: bytes) -> None:
        writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        raise RefusedError(status.decode())
