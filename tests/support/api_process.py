"""For tests of the API as a process of its own."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx
from support.cli_runs import COMMAND, environment


class Process:
    """An API in a process of its own."""

    def __init__(self, home: Path, redis_url: str, *flags: str) -> None:
        self._log = home / "api.log"
        self.home = home
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [*COMMAND, "api", "start", "--port", "0", *flags],
                stdout=log,
                stderr=log,
                env=environment(home, AFX_REDIS_URL=redis_url),
            )
        address = self.said(r"dashboard is at https?://127\.0\.0\.1:(\d+)/")
        self.port = int(address)
        if not (home / "token").exists():
            (home / "token").write_text(self.said(r"shown once\): (\S+)"))
        self.token = (home / "token").read_text()

    def said(self, pattern: str) -> str:
        until = time.monotonic() + 90
        while not (found := re.search(pattern, self._log.read_text())):
            assert self.process.poll() is None and time.monotonic() < until, self._log.read_text()
            time.sleep(0.02)
        return found[1]

    def send(self, path: str, method: str = "GET", **given: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.token}", **given.pop("headers", {})}
        url = f"http://127.0.0.1:{self.port}{path}"
        return httpx.request(method, url, headers=headers, timeout=10, **given)

    def stop(self) -> float:
        """SIGTERM; returns how long the process took to end."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(60) == 0, self._log.read_text()
        return time.monotonic() - began
