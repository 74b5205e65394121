"""A request in a thread, which the loop may end: it begins nothing more, or it is cut."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress


class Line:
    """What one thread is doing over connections, one after another."""

    __slots__ = ("_is_cut", "_is_ended", "_lock", "_socket")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._is_ended = self._is_cut = False

    @property
    def is_ended(self) -> bool:
        """Whether nothing more is to be begun."""
        return self._is_ended

    def end(self) -> None:
        """Let nothing more be begun; what is under way goes on."""
        self._is_ended = True

    def use(self, connection: socket.socket) -> None:
        """Note the connection that is used from now on; raises ConnectionAbortedError if cut."""
        with self._lock:
            if self._is_cut:
                raise ConnectionAbortedError("it was stopped")
            self._socket = connection

    def cut(self) -> None:
        """End what is under way, too; whether it has arrived is not known then."""
        with self._lock:
            self._is_ended = self._is_cut = True
            if self._socket is not None:
                with suppress(OSError):
                    # That of TLS would change what the other thread is using.
                    socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
