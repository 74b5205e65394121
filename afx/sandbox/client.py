"""Calls a running sandbox's control channel; imports nothing heavy."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

from afx.errors import SandboxError, UnreachableError

if TYPE_CHECKING:
    from afx.telegram.login import Server

ADDRESS_FILE = "sandbox.json"


class SandboxClient:
    """A blocking client of one sandbox."""

    def __init__(self, host: str, port: int, *, timeout_seconds: float = 60.0) -> None:
        try:
            self._socket = socket.create_connection((host, port), timeout=timeout_seconds)
        except OSError as error:
            raise UnreachableError(
                f"No sandbox answers at {host}:{port}; start one with 'afx sandbox start'."
            ) from error
        self._file = self._socket.makefile("rwb")

    def __enter__(self) -> SandboxClient:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def call(self, name: str, /, **arguments: Any) -> Any:
        """Make one call and return its value.

        Raises SandboxError when it is refused, UnreachableError when the
        sandbox is gone.
        """
        try:
            self._file.write(json.dumps({"call": name, **arguments}).encode() + b"\n")
            self._file.flush()
            line = self._file.readline()
        except OSError as error:
            raise UnreachableError(f"The sandbox no longer answers ({error}).") from error
        if not line:
            raise UnreachableError("The sandbox has ended.")
        answer = json.loads(line)
        if "error" in answer:
            raise SandboxError(f"The sandbox refused '{name}': {answer['error']}.")
        return answer["ok"]

    def close(self) -> None:
        """Close the connection."""
        self._file.close()
        self._socket.close()


def find(home: Path) -> SandboxClient:
    """Connect to the sandbox that runs under this home.

    Raises UnreachableError when none does.
    """
    path = home / ADDRESS_FILE
    try:
        address = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UnreachableError(
            f"No sandbox runs under {home}; start one with 'afx sandbox start'."
        ) from error
    return SandboxClient(address["host"], address["control_port"])


def server_of(home: Path) -> Server:
    """Return the server of the sandbox of a home; raises UnreachableError without one."""
    from afx.telegram.login import Server

    try:
        address = json.loads((home / ADDRESS_FILE).read_text())
        return Server(address["host"], address["port"], address["public_key"])
    except (OSError, ValueError, KeyError) as error:
        raise UnreachableError(
            f"No sandbox runs under {home}; start one with 'afx sandbox start'."
        ) from error
