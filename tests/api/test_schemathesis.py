"""The whole schema against a server of its own: schemathesis with all of its checks.

Everyday a few requests for each endpoint; nightly (``-m faults``) thousands, with what one
request leaves behind used by the next ones.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from support.api_process import Process

CONFIG = Path(__file__).parent / "schemathesis.toml"
COMMAND = (sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG), "run")


@pytest.fixture
def server(home: Path, redis_url: str) -> Iterator[Process]:
    found = Process(home, redis_url)
    assert found.send("/api/v1/users", "POST", json={"name": "alice"}).status_code == 201
    yield found
    if found.process.poll() is None:
        found.process.kill()
        found.process.wait()


def run(server: Process, *flags: str, seconds: float) -> None:
    # It is made when it is asked for first, and schemathesis waits ten seconds for it.
    httpx.get(f"http://127.0.0.1:{server.port}/openapi.json", timeout=seconds)
    done = subprocess.run(
        [
            *COMMAND,
            f"http://127.0.0.1:{server.port}/openapi.json",
            *("--header", f"Authorization: Bearer {server.token}"),
            *("--checks", "all", "--no-color", "--warnings", "off"),
            # What is slow on a busy machine is no failure of the schema.
            *("--request-timeout", "60", "--max-response-time", "60"),
            *flags,
        ],
        cwd=server.home,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-20_000:]}\n{done.stderr[-2_000:]}"
    assert server.process.poll() is None


def test_every_endpoint_keeps_to_its_schema(server: Process) -> None:
    run(server, "--phases", "examples,fuzzing", "--max-examples", "1", "--seed", "1", seconds=120)


@pytest.mark.faults
@pytest.mark.parametrize("seed", range(3))
def test_every_endpoint_keeps_to_its_schema_whatever_is_sent(server: Process, seed: int) -> None:
    # One worker: two make CPython 3.11's parser fail, which Hypothesis describes lambdas by.
    flags = ("--max-examples", "60", "--seed", str(seed))
    run(server, *flags, seconds=1_800)
