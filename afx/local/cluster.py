"""A whole cluster on this machine: what `afx up` runs."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable

from afx.cluster.connection import connect, reachable
from afx.config import Settings
from afx.errors import UsageError
from afx.local import private_redis
from afx.local.command_name import command_name
from afx.local.node_names import names_in_use
from afx.local.processes import LocalProcesses, node_names
from afx.local.restart_policy import RestartPolicy
from afx.local.supervisor import ChildService, LocalSupervisor, RedisService


def run_cluster(settings: Settings, *, nodes: int, notify: Callable[[str], None]) -> None:
    """Run a coordinator, nodes and the API until SIGINT or SIGTERM; ``notify`` gets each line.

    The private Redis, if the settings name no other, is started when it does not
    run, watched, and stopped at the end if it was started here. Raises UsageError
    when another node has a name of ours, AfxError when a process keeps ending.
    """
    supervisor = LocalSupervisor(policy=RestartPolicy(), notify=notify)
    with contextlib.ExitStack() as closing:
        url = settings.redis_url
        if not url:
            service = RedisService(settings.home)
            service.start()
            closing.callback(service.stop)
            supervisor.watch(service)
            url = private_redis.url_for(settings.home)
        _check_names(url, node_names(nodes))
        processes = LocalProcesses(settings, url)
        closing.callback(processes.stop)
        closing.callback(notify, "stopping: the nodes first, then the coordinator")
        processes.start_coordinator()
        processes.start_nodes(nodes)
        processes.start_api(_free_port(settings.web_host, settings.web_port))
        for name in processes.children:
            supervisor.watch(ChildService(processes, name))
        count = "1 node" if nodes == 1 else f"{nodes} nodes"
        notify(f"the cluster runs: 1 coordinator, {count}; home {settings.home}")
        notify(f"see its state with '{command_name()} status'; stop it with Ctrl-C")
        supervisor.run()


def _free_port(host: str, wanted: int) -> int:
    """Return the port that is wanted if it is free, else another one."""
    for port in (wanted, 0):
        with contextlib.suppress(OSError), socket.create_server((host, port)) as listening:
            return int(listening.getsockname()[1])
    return wanted


def _check_names(redis_url: str, names: list[str]) -> None:
    with reachable(redis_url), contextlib.closing(connect(redis_url)) as client:
        in_use = names_in_use(client, names)
    if in_use:
        node = in_use[0]
        raise UsageError(
            f"A node named {node.name} runs in this cluster already, on {node.hostname}; "
            "stop it, or set AFX_HOME or AFX_REDIS_URL to a cluster of its own."
        )
