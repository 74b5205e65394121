"""A whole cluster on this machine: what `afx up` runs."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable

import redis

from afx.cluster.connection import connect, reachable
from afx.config import Settings
from afx.errors import UsageError
from afx.local import private_redis
from afx.local.autoscaler import Autoscaler
from afx.local.command_name import command_name
from afx.local.local_nodes import LocalNodes, owned
from afx.local.node_names import names_in_use
from afx.local.processes import LocalProcesses, node_names
from afx.local.restart_policy import RestartPolicy
from afx.local.supervisor import ChildService, LocalSupervisor, RedisService
from afx.operations import workers
from afx.operations.context import Actor
from afx.servers import ProcessServers
from models.storage import workers as stored_workers

_ACTOR = "autoscale"
_OVERFLOW_SECONDS = 2.0
_REDIS_SECONDS = 1.0


def run_cluster(
    settings: Settings, *, nodes: int, notify: Callable[[str], None], most_nodes: int = 0
) -> None:
    """Run a coordinator, nodes and the API until SIGINT or SIGTERM; ``notify`` gets each line.

    With ``most_nodes``, further nodes are started and stopped as the leader recommends, so
    that there are ``nodes`` at least and ``most_nodes`` at most.

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
        processes = LocalProcesses(
            settings, url, variables=_scaling(settings, nodes, most_nodes) if most_nodes else None
        )
        closing.callback(processes.stop)
        closing.callback(notify, "stopping: the nodes first, then the coordinator")
        processes.start_coordinator()
        processes.start_nodes(nodes)
        processes.start_api(_free_port(settings.web_host, settings.web_port))
        for name in processes.children:
            supervisor.watch(ChildService(processes, name))
        if most_nodes > nodes:
            client = closing.enter_context(contextlib.closing(_impatient(url)))
            autoscaler = Autoscaler(
                LocalNodes(processes, notify=notify),
                client,
                most_own=most_nodes - nodes,
                notify=notify,
            )
            supervisor.also(autoscaler.step)
        count = "1 node" if nodes == 1 else f"{nodes} nodes"
        count += f", {most_nodes} at most" if most_nodes else ""
        notify(f"the cluster runs: 1 coordinator, {count}; home {settings.home}")
        notify(f"see its state with '{command_name()} status'; stop it with Ctrl-C")
        supervisor.run()


def _scaling(settings: Settings, least: int, most: int) -> dict[str, str]:
    """Return the settings of scaling for the cluster's processes.

    A node of this machine is there within seconds: sessions need not wait for long before
    they ask for one, nor be given one after the other, unless the settings say so.
    """
    quick = {"scale_overflow_seconds": str(_OVERFLOW_SECONDS), "scale_step_nodes": str(most)}
    return {
        "AFX_SCALE_MIN_NODES": str(max(1, least)),
        "AFX_SCALE_MAX_NODES": str(most),
        **{
            f"AFX_{name.upper()}": value
            for name, value in quick.items()
            if name not in settings.model_fields_set
        },
    }


def _impatient(redis_url: str) -> redis.Redis:
    """Return a client that does not let the supervisor wait while Redis is away."""
    return connect(redis_url, timeout_seconds=_REDIS_SECONDS)


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


def remove_left_over(servers: ProcessServers) -> None:
    """Request that the records of nodes which an earlier run started are removed.

    It may have died while it drained one: a new node of that name would stay cordoned.
    """
    rows = [str(it["name"]) for it in stored_workers.listing().rows]
    names = [it for it in rows if owned(it)]
    if names:
        workers.remove(servers.context(Actor(_ACTOR)), names)
