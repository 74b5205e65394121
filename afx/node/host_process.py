"""Entry point of the host process; only a supervisor starts it."""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import resource
import signal
import sys
from typing import Any

from afx.garbage import collect_rarely
from afx.node.unused import leave_out
from afx.security.memory import protect_memory

collect_rarely()
leave_out()

from afx.logs import configure  # noqa: E402
from afx.node.executor import Executor  # noqa: E402
from afx.node.host import Host  # noqa: E402
from afx.node.lease_memory import LeaseMemory  # noqa: E402
from afx.node_settings import NodeSettings  # noqa: E402
from afx.security.signing import SigningKeys  # noqa: E402
from afx.security.vault import Vault  # noqa: E402
from afx.short_slices import ask_for_short_slices  # noqa: E402

_PR_SET_PDEATHSIG = 1
_WAIT_SECONDS = 0.01


def main() -> None:
    """Read the parameters from standard input, and run until it receives an order to end."""
    protect_memory()  # before the keys arrive
    orders = json.loads(sys.stdin.readline())
    # Die with the supervisor: it alone holds the lease.
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != orders["supervisor"]:
        sys.exit(1)
    _raise_file_limit()
    settings = NodeSettings.from_json(orders["settings"])
    configure(settings.log_level)
    ask_for_short_slices(os.getpriority(os.PRIO_PROCESS, 0))
    try:
        import uvloop
    except ImportError:
        asyncio.run(_serve(settings, orders))
    else:
        uvloop.run(_serve(settings, orders))


async def _serve(settings: NodeSettings, orders: dict[str, Any]) -> None:
    vault = Vault(orders["keys"])
    memory = LeaseMemory(orders["memory"])
    node, incarnation = orders["node"], orders["incarnation"]
    host = Host(
        settings,
        redis_url=orders["redis_url"],
        node=node,
        incarnation=incarnation,
        memory=memory,
        vault=vault,
        settled_pipe=orders["settled_pipe"],
    )
    executor = Executor(
        host,
        redis_url=orders["redis_url"],
        node=node,
        incarnation=incarnation,
        keys=SigningKeys(vault.signing_keys()),
        trouble=host.redis_trouble,
        on_wake=host.wake,
    )
    loop = asyncio.get_running_loop()

    def end() -> None:
        executor.stop()
        host.close()

    loop.add_signal_handler(signal.SIGTERM, end)
    loop.add_signal_handler(signal.SIGINT, lambda: None)  # the supervisor decides
    print("ready", flush=True)
    # Not before this node holds a lease: orders may wait in its queue for sessions that
    # were given to another node since.
    while not memory.deadline:  # noqa: ASYNC110  set by another process
        await asyncio.sleep(_WAIT_SECONDS)
    executor.start()
    await host.run()
    # The executor's thread may be deep in a blocking read; nothing is left to save.
    os._exit(0)


def _raise_file_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    main()
