"""Processes that have keys write no core dumps."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

_PRINT = """
import ctypes, resource
from afx.security.memory import protect_memory
protect_memory()
print(resource.getrlimit(resource.RLIMIT_CORE)[0], ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))
"""


def test_a_protected_process_has_no_core_dump_and_is_not_dumpable() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PRINT], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["0", "0"]


def test_a_host_process_is_protected_before_it_gets_its_keys() -> None:
    unlimited = ("bash", "-c", 'ulimit -S -c "$(ulimit -H -c)"; exec "$@"', "bash")
    process = subprocess.Popen(
        [*unlimited, sys.executable, "-m", "afx.node.host_process"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    limits = Path(f"/proc/{process.pid}/limits")

    def core_limit() -> str:
        [line] = [it for it in limits.read_text().splitlines() if it.startswith("Max core")]
        return line.split()[4]

    try:
        until = time.monotonic() + 60
        while core_limit() != "0" and time.monotonic() < until:
            time.sleep(0.05)
        assert core_limit() == "0"
        assert process.poll() is None
    finally:
        process.kill()
        process.communicate()
