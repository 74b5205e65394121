"""For tests of a host in the test's own loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

from afx import lease
from afx.config import load
from afx.node.host import Host
from afx.node.lease_memory import LeaseMemory
from afx.security.vault import Vault

KEY = "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s="
NODE, INCARNATION = "w1", "one"


@contextlib.asynccontextmanager
async def host_on(
    redis_url: str, home: Path, *, test_networks: str = "127.0.0.0/8"
) -> AsyncIterator[Host]:
    """A host with a lease of a minute; its loops do not run."""
    reader, writer = os.pipe()
    memory = LeaseMemory()
    memory.renew(lease.now() + 60, lease.now() + 60)
    host = Host(
        load(home=home, test_networks=test_networks),
        redis_url=redis_url,
        node=NODE,
        incarnation=INCARNATION,
        memory=memory,
        vault=Vault([KEY]),
        settled_pipe=writer,
    )
    try:
        yield host
    finally:
        host.close()
        await settle(host)
        await host._redis.aclose()
        for descriptor in (reader, writer, memory.descriptor):
            os.close(descriptor)


async def settle(host: Host) -> None:
    """Wait until the host has nothing under way."""
    while host._runner.tasks:
        await asyncio.wait(set(host._runner.tasks))
        await asyncio.sleep(0)
