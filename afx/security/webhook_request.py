"""One POST to a URL that somebody has given: bounded, checked, and led nowhere else."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import h11

from afx.security.cut_line import Line
from afx.security.login_servers import Network
from afx.security.webhook_targets import check_url, is_allowed

DEADLINE_SECONDS = 10.0
"""For the whole exchange, from the connection to the end of the answer's head."""
_LARGEST_HEAD = 16 * 1024
_PART = 16 * 1024
_UNKNOWN_AUTHORITY = "is of no authority that this machine trusts"
_CERTIFICATE_FAULTS = {
    9: "is not valid yet",
    10: "has expired",
    18: _UNKNOWN_AUTHORITY,
    19: _UNKNOWN_AUTHORITY,
    20: _UNKNOWN_AUTHORITY,
    21: _UNKNOWN_AUTHORITY,
    62: "is not for its name",
    64: "is not for its address",
}
"""By OpenSSL's codes (X509_V_ERR_…)."""


@dataclass(slots=True, frozen=True)
class Result:
    """What a receiver said."""

    status: int | None
    error: str = ""
    """Why it counts as failed, without anything that the receiver sent; empty: it has it."""
    retry_after: float = 0.0
    """How long it wants to be left alone, in seconds."""


class _RefusedError(Exception):
    """The request is not sent; the text says why."""


def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    networks: Sequence[Network] = (),
    seconds: float = DEADLINE_SECONDS,
    clock: Callable[[], float] = time.monotonic,
    tls: ssl.SSLContext | None = None,
    line: Line | None = None,
) -> Result:
    """Send a request, and say whether it was taken: with a status of 200 to 299.

    The name is resolved once, every address that it has is checked, and one of those is
    connected to: what the name means a moment later does not count. Redirects are not
    followed, and the body of the answer is not read. Another thread may cut the ``line``.
    """
    until, line = clock() + seconds, line or Line()
    try:
        scheme, host, port, path = check_url(url)
        shown = f"[{host}]" if ":" in host else host
        authority = shown if port in (80, 443) else f"{shown}:{port}"
        address = _resolve(host, port, networks)
        with _connect(address, until, clock, line) as plain:
            if scheme == "http":
                return _exchange(plain, authority, path, body, headers, until, clock)
            context = tls or ssl.create_default_context()
            _bound(plain, until, clock)
            made = context.wrap_socket(plain, server_hostname=host, do_handshake_on_connect=False)
            with made as sealed:
                line.use(sealed)
                sealed.do_handshake()
                return _exchange(sealed, authority, path, body, headers, until, clock)
    except _RefusedError as error:
        return Result(None, str(error))
    except ssl.SSLCertVerificationError as error:
        reason = _CERTIFICATE_FAULTS.get(error.verify_code, "is not valid")
        return Result(None, f"its certificate {reason}")
    except TimeoutError:
        return Result(None, f"no answer within {seconds:g} s")
    except (ValueError, h11.LocalProtocolError) as error:
        return Result(None, f"the URL is not valid: {error}")
    except h11.RemoteProtocolError:
        return Result(None, "the answer is not HTTP")
    except OSError as error:
        return Result(None, f"the connection failed ({error.strerror or type(error).__name__})")


def _resolve(host: str, port: int, networks: Sequence[Network]) -> tuple[int, tuple[str, int]]:
    """Return (family, address) of a host, all of whose addresses are allowed."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise _RefusedError("its name has no address") from error
    for *_, address in found:
        if not is_allowed(str(address[0]), networks):
            raise _RefusedError(
                "its name leads to an address that is not public; allow its network with "
                "webhook_networks"
            )
    family, _, _, _, address = found[0]
    return int(family), (str(address[0]), port)


def _connect(
    address: tuple[int, tuple[str, int]], until: float, clock: Callable[[], float], line: Line
) -> socket.socket:
    connection = socket.socket(address[0], socket.SOCK_STREAM)
    try:
        line.use(connection)
        _bound(connection, until, clock)
        connection.connect(address[1])
    except BaseException:
        connection.close()
        raise
    return connection


def _bound(connection: socket.socket, until: float, clock: Callable[[], float]) -> None:
    """Let what the socket does next end before the deadline."""
    left = until - clock()
    if left <= 0:
        raise TimeoutError
    connection.settimeout(left)


def _exchange(
    connection: socket.socket,
    authority: str,
    path: str,
    body: bytes,
    headers: Mapping[str, str],
    until: float,
    clock: Callable[[], float],
) -> Result:
    http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_LARGEST_HEAD)
    sent = {
        "host": authority,
        "content-length": str(len(body)),
        "connection": "close",
        **headers,
    }
    request = h11.Request(method="POST", target=path, headers=list(sent.items()))
    data = b"".join(
        http.send(it) or b"" for it in (request, h11.Data(data=body), h11.EndOfMessage())
    )
    _bound(connection, until, clock)
    connection.sendall(data)
    while True:
        event = http.next_event()
        if event is h11.NEED_DATA:
            _bound(connection, until, clock)
            http.receive_data(connection.recv(_PART))
        elif isinstance(event, h11.Response):
            return _judged(event)
        elif not isinstance(event, h11.InformationalResponse):
            return Result(None, "the connection ended without an answer")


def _judged(answer: h11.Response) -> Result:
    status = int(answer.status_code)
    if 200 <= status < 300:
        return Result(status)
    if 300 <= status < 400:
        return Result(status, f"the answer was {status}; redirects are not followed")
    return Result(status, f"the answer was {status}", _retry_after(answer))


def _retry_after(answer: h11.Response) -> float:
    """Return the seconds of the header Retry-After; 0 for a date, and for what is neither."""
    value = next((it for name, it in answer.headers if name == b"retry-after"), b"")
    return float(value) if value.isdigit() and len(value) < 8 else 0.0
