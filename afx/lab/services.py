"""The services of a lab: a sandbox, a Redis and a database, each for a block.

What was lent to the lab is left as it was: a Redis that holds a cluster and a
database that holds sessions are refused.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from afx.cluster import keys
from afx.cluster.connection import connect, reachable, shown
from afx.errors import AfxError, UsageError
from afx.local import private_redis
from afx.local.processes import die_with_parent
from afx.sandbox.client import SandboxClient
from models import base, schema
from models.storage import sessions


@dataclass(slots=True, frozen=True)
class Sandbox:
    """A running sandbox."""

    client: SandboxClient
    telegram: tuple[str, int]
    """Host and port at which it speaks MTProto."""


@contextlib.contextmanager
def sandbox(home: Path) -> Iterator[Sandbox]:
    """Run a sandbox process for the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "afx.sandbox.process", str(home)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=die_with_parent,  # noqa: PLW1509
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise AfxError("The sandbox did not start; its log is above.")
        address = json.loads(line)
        with SandboxClient(address["host"], address["control_port"]) as client:
            yield Sandbox(client, (address["host"], address["port"]))
    finally:
        process.terminate()
        process.wait()
        if process.stdout:
            process.stdout.close()


@contextlib.contextmanager
def cluster_redis(home: Path, url: str) -> Iterator[str]:
    """Yield the URL of the Redis to use: the one given, or a private one of the home."""
    if not url:
        started = private_redis.ensure(home)
        try:
            yield private_redis.url_for(home)
        finally:
            if started:
                private_redis.stop(home)
        return
    with reachable(url), contextlib.closing(connect(url)) as client:
        if client.exists(keys.TERM, keys.WORKERS):
            raise UsageError(
                f"The Redis at {shown(url)} holds a cluster already; give an empty database, "
                "such as redis://127.0.0.1:6379/5."
            )
    try:
        yield url
    finally:
        with contextlib.closing(connect(url)) as client:
            for pattern in ("afx:*", "rq:*"):
                for key in client.scan_iter(pattern, count=1000):
                    client.delete(key)


@contextlib.contextmanager
def empty_database(url: str) -> Iterator[None]:
    """Open a database without sessions, and bring its schema up to date."""
    base.open_database(url)
    try:
        schema.upgrade()
        if sessions.count():
            raise UsageError("The database holds sessions already; give an empty one.")
        yield
    finally:
        base.close_database()
