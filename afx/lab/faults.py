"""Puts the faults of a plan into effect on a running lab, and undoes them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psutil

from afx.app import context_for
from afx.errors import AfxError
from afx.lab import redis_troubles
from afx.lab.cluster import LabCluster
from afx.lab.fault_plan import Fault, Kind, chosen, mischief
from afx.lab.links import BadLink
from afx.local import private_redis, process_tree
from afx.operations import coordinators as coordinator_operations
from afx.operations import sessions as session_operations
from afx.operations import workers as worker_operations

Undo = Callable[[], None]
_DELAY_SECONDS = 0.2
_LOSS_SHARE = 0.05
_OPERATIONS_ON_NODES: tuple[Kind, ...] = ("drain", "recycle")


@dataclass(slots=True, frozen=True)
class NodeLink:
    """A node's own link to Redis, and the URL that leads over it."""

    link: BadLink
    url: str


class FaultInjector:
    """The cluster of a soak: each node has a link of its own, Telegram is behind another."""

    def __init__(self, lab: LabCluster, nodes: Sequence[str], telegram: BadLink) -> None:
        self.nodes: dict[str, NodeLink] = {
            name: NodeLink(*lab.redis_link(seed=seed)) for seed, name in enumerate(nodes)
        }
        self._lab = lab
        self._context = context_for(lab.settings, "soak")
        self._telegram = telegram

    def start(self, name: str) -> None:
        """Start a node, or a coordinator of any other name, unless it was started."""
        processes = self._lab.processes
        if name in processes.children:
            return
        if name in self.nodes:
            processes.start_node(name, redis_url=self.nodes[name].url)
        else:
            processes.start_coordinator(name)

    def target(self, fault: Fault) -> str | None:
        """Return the node that a fault befalls; "" for none, None when no node is left."""
        of_node = fault.kind.endswith(("-node", "-supervisor", "-host"))
        if not of_node and fault.kind not in _OPERATIONS_ON_NODES:
            return ""
        started = [it for it in self.nodes if it in self._lab.processes.children]
        return chosen(started, fault.pick) if started else None

    def inject(self, fault: Fault, target: str) -> Undo | None:
        """Put a fault into effect; returns what undoes it.

        Raises what the cluster answers when it cannot be done now.
        """
        if target:
            return self._inject_into_node(fault, target)
        if fault.kind.endswith("-leader"):
            return self._inject_into_leader(fault.kind)
        if fault.kind.endswith("-redis"):
            return self._inject_into_redis(fault.kind)
        return self._inject_elsewhere(fault)

    def mend_all(self) -> None:
        """Undo what has no end of its own."""
        self._telegram.mend()
        for name, it in self.nodes.items():
            it.link.mend()
            self._uncordon(name)

    def _inject_into_node(self, fault: Fault, node: str) -> Undo | None:
        link = self.nodes[node].link
        processes = self._lab.processes
        undo: Undo | None = None
        match fault.kind:
            case "kill-node":
                processes.kill_tree(node)
                undo = self._starter(node)
            case "kill-supervisor":
                processes.kill(node)
                undo = self._starter(node)
            case "kill-host":
                process_tree.kill(self._lab.process_tree(node)[1:])
            case "stop-node":
                undo = _suspend(self._lab.process_tree(node))
            case "stop-supervisor":
                undo = _suspend(self._lab.process_tree(node)[:1])
            case "stop-host":
                undo = _suspend(self._lab.process_tree(node)[1:])
            case "cut-node":
                link.cut()
                undo = link.mend
            case "slow-node":
                link.slow(_DELAY_SECONDS, loss=_LOSS_SHARE)
                undo = link.mend
            case "reset-node":
                link.drop()
            case "recycle":
                worker_operations.recycle(self._context, node, forced=fault.pick > 0.5)
            case "drain":
                worker_operations.drain(self._context, [node])
                undo = self._uncordoner(node)
            case _:
                raise AssertionError(fault.kind)
        return undo

    def _inject_into_leader(self, kind: Kind) -> Undo | None:
        leader = self._lab.leader()
        if not leader:
            return None
        if kind == "stop-leader":
            return _suspend(self._lab.process_tree(leader))
        self._lab.processes.kill_tree(leader)
        return self._starter(leader)

    def _inject_into_redis(self, kind: Kind) -> Undo | None:
        redis = self._lab.redis
        match kind:
            case "flush-redis":
                redis.flushall()
                return None
            case "full-redis":
                return redis_troubles.run_out_of_memory(redis)
            case "readonly-redis":
                return redis_troubles.become_replica(redis)
            case "busy-redis":
                return redis_troubles.be_busy(redis, self._lab.redis_url)
            case _:
                pass
        server = psutil.Process(int(self._lab.redis.info("server")["process_id"]))
        if kind == "stop-redis":
            return _suspend([server])
        server.kill()

        def start() -> None:
            private_redis.ensure(self._lab.settings.home)

        return start

    def _inject_elsewhere(self, fault: Fault) -> Undo | None:
        lab = self._lab
        undo: Undo | None = None
        match fault.kind:
            case "stop-all":
                undo = _suspend(lab.all_processes())
            case "drop-telegram":
                lab.sandbox.call("drop", account=0)
            case "refuse-telegram":
                lab.sandbox.call("refuse", on=True)
                undo = self._accept_connections
            case "slow-telegram":
                self._telegram.slow(_DELAY_SECONDS, loss=_LOSS_SHARE)
                undo = self._telegram.mend
            case "flood":
                session = lab.sessions[int(fault.pick * len(lab.sessions))]
                lab.sandbox.call("flood", seconds=fault.seconds, account=session.account)
            case "mischief":
                lab.sandbox.call("mischief", **mischief(fault).to_json())
                undo = self._end_mischief
            case "move":
                name = chosen([it.name for it in lab.sessions], fault.pick)
                session_operations.move(self._context, name)
            case "recycle-coordinators":
                coordinator_operations.recycle(self._context)
            case _:
                raise AssertionError(fault.kind)
        return undo

    def _accept_connections(self) -> None:
        self._lab.sandbox.call("refuse", on=False)

    def _end_mischief(self) -> None:
        self._lab.sandbox.call("mischief")

    def _starter(self, name: str) -> Undo:
        return lambda: self.start(name)

    def _uncordoner(self, node: str) -> Undo:
        return lambda: self._uncordon(node)

    def _uncordon(self, node: str) -> None:
        with contextlib.suppress(AfxError):
            worker_operations.uncordon(self._context, [node])


def _suspend(processes: list[psutil.Process]) -> Undo:
    """Suspend processes; returns what resumes them."""
    process_tree.suspend(processes)
    return lambda: process_tree.resume(processes)
