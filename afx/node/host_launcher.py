"""Starts a host process, and holds what its supervisor shares with it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace

from afx.errors import UnreachableError
from afx.node.lease_memory import LeaseMemory
from afx.node_settings import NodeSettings
from afx.security.keyfile import read_keys


class HostProcess:
    """One host process, from its start until ``close``."""

    def __init__(
        self,
        settings: NodeSettings,
        *,
        redis_url: str,
        node: str,
        incarnation: str,
        on_exit: Callable[[], None],
    ) -> None:
        """Start it; ``on_exit`` is called on a thread when it has ended.

        Raises UnreachableError when it does not start.
        """
        self.memory = LeaseMemory()
        self._reader, writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(writer, False)
        try:
            self._process = self._spawn(settings, redis_url, node, incarnation, writer)
        except BaseException:
            os.close(self._reader)
            os.close(self.memory.descriptor)
            raise
        finally:
            os.close(writer)
        self.pid = self._process.pid
        self._on_exit = on_exit
        self._watcher = threading.Thread(target=self._watch, name="host exit")
        self._watcher.start()

    @property
    def has_ended(self) -> bool:
        """Whether the process has ended."""
        return self._process.poll() is not None

    def terminate(self) -> None:
        """Ask it to stop all sessions and end."""
        self._process.send_signal(signal.SIGTERM)

    def started_sessions(self) -> list[int]:
        """Return the sessions that it has started since the last call."""
        try:
            data = os.read(self._reader, 1 << 16)
        except BlockingIOError:
            return []
        return [int(line) for line in data.split() if line.isdigit()]

    def close(self) -> None:
        """Kill it if it runs, and wait until it has ended."""
        self._process.kill()
        self._process.wait()
        self._watcher.join()
        os.close(self._reader)
        os.close(self.memory.descriptor)
        if self._process.stdout:
            self._process.stdout.close()

    def _watch(self) -> None:
        with contextlib.suppress(ChildProcessError):  # it has been waited for already
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        self._on_exit()

    def _spawn(
        self, settings: NodeSettings, redis_url: str, node: str, incarnation: str, settled_pipe: int
    ) -> subprocess.Popen[str]:
        parameters = {
            "settings": replace(settings, secret_key="").to_json(),
            "redis_url": redis_url,
            "node": node,
            "incarnation": incarnation,
            "memory": self.memory.descriptor,
            "settled_pipe": settled_pipe,
            "supervisor": os.getpid(),
            "keys": read_keys(settings.home, settings.secret_key, create=False),
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "afx.node.host_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            pass_fds=(self.memory.descriptor, settled_pipe),
        )
        assert process.stdin is not None and process.stdout is not None
        try:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(json.dumps(parameters) + "\n")
                process.stdin.close()
            is_ready = bool(process.stdout.readline())
        except BaseException:
            process.kill()
            process.wait()
            raise
        if not is_ready:
            process.wait()
            process.stdout.close()
            raise UnreachableError("The host process did not start; its log is above.")
        return process
