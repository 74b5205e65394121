"""What the larger faults do to the servers, and what operators ask for."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from simulation.hub import Machine, Process
from simulation.redis_server import Server
from simulation.redis_streams import xadd

from afx.cluster import keys, reports
from afx.cluster.reports import Died
from afx.errors import AfxError
from models.storage import controls, hibernation, rules, sessions, workers
from models.storage.control_subjects import NodeSubject, SessionSubject
from models.tables import Rule

if TYPE_CHECKING:
    from simulation.cluster import Cluster
    from simulation.faults import Fault

SPLIT_MAX_LAG = 2.0
"""min-replicas-max-lag, and the second in which Redis notices."""
PROMOTION_SECONDS = (2.0, 5.0)


def machine(cluster: Cluster, fault: Fault) -> Machine:
    """Return the machine that a fault happens to."""
    return cluster.machines[int(fault.chance * len(cluster.machines))]


def process(cluster: Cluster, fault: Fault) -> Process | None:
    """Return the process that a fault happens to: the leader more often; None if all are dead."""
    hosts = [it for it, _, _ in cluster.hosts.values() if it.alive]
    others = [*cluster.coordinators.values(), *cluster.supervisors.values()]
    alive = [it for it in [*others, *hosts] if it.alive]
    leader = cluster.leader()
    if leader:
        alive += [leader]
    return alive[int(fault.chance * len(alive))] if alive else None


def session(cluster: Cluster, fault: Fault) -> int:
    """Return the session that a fault happens to."""
    return cluster.session_ids[int(fault.chance * len(cluster.session_ids))]


def later(cluster: Cluster, fault: Fault, action: Callable[[], object]) -> None:
    """Call an action when a fault ends."""
    cluster.hub.after(fault.seconds, action)


def end_all(cluster: Cluster) -> None:
    """Let nothing go wrong from now on."""
    cluster.hub.trace("no more faults")
    network = cluster.network
    network.bad.clear()
    network.cut.clear()
    heal(cluster)
    network.primary.stalled_until = 0.0
    network.primary.running = True
    end_redis_errors(cluster)
    cluster.telegram.slow_until = cluster.telegram.refuses_until = 0.0
    cluster.sql.fails_until = cluster.sql.loses_answers_until = 0.0
    for each in cluster.machines:
        each.hides_processes = False
    _ask_again(cluster)


def _ask_again(cluster: Cluster) -> None:
    """Customers and operators see what SQL has lost of their changes, and repeat it."""
    for it in cluster.session_ids:
        found = sessions.find(str(it))
        for rule in found.rules:
            rules.change(rule, enabled=True)
        # Those that hibernate in every other schedule go on: none may be forgotten.
        if found.hibernation == "" or cluster.seed % 2:
            sessions.set_desired_state(found, "running")
    for name, state in workers.desired_states().items():
        if state != "ready":
            _set_node_state(name, "ready", "uncordon")


# --- Redis -----------------------------------------------------------------------------


def end_redis_errors(cluster: Cluster) -> None:
    """Let the primary answer as it should."""
    cluster.network.primary.error = cluster.network.primary.error_for_all = ""


def redis_restart(cluster: Cluster, fault: Fault) -> None:
    """Redis ends, and is back a little later, with all that its file has."""
    server = cluster.network.primary
    server.running = False

    def back() -> None:
        if server not in (cluster.network.primary, cluster.network.old_primary):
            return  # a failover has replaced it meanwhile
        server.running = True
        server.restart()

    later(cluster, fault, back)


def failover(cluster: Cluster, fault: Fault) -> None:
    """A replica takes over that lacks the last seconds; the old primary is gone."""
    _replace(cluster, cluster.past.redis(cluster.network.primary, fault.seconds))


def flush(cluster: Cluster, fault: Fault) -> None:
    """Redis forgets everything; its clock may have gone back by then."""
    server = cluster.network.primary
    server.data.flushall()
    if fault.chance < 0.5:
        server.clock_offset -= fault.seconds


def _replace(cluster: Cluster, snapshot: object) -> Server:
    old = cluster.network.primary
    old.running = False
    new = Server(cluster.hub, clock_offset=old.clock_offset - 0.3)
    new.data.restore(snapshot)  # type: ignore[arg-type]
    cluster.add_server(new)
    cluster.network.primary = new
    return old


def split(cluster: Cluster, fault: Fault) -> None:
    """A partition: one side keeps the old primary, which soon refuses writes, the other
    gets a new one. Machines of the other side reach nothing until it is promoted."""
    hub, network = cluster.hub, cluster.network
    if network.routes:
        return  # one partition at a time
    old = network.primary
    snapshot = old.data.snapshot()
    count = 1 + int(fault.chance * 100) % (len(cluster.machines) - 1)
    here = cluster.machines[:count] if fault.chance < 0.5 else cluster.machines[-count:]
    low, high = PROMOTION_SECONDS
    promotion = low + (high - low) * (fault.chance * 31 % 1)
    for each in cluster.machines:
        if each in here:
            network.routes[each.name] = old
        else:
            network.cut[each.name] = max(network.cut.get(each.name, 0), hub.now + promotion)
    if cluster.requires_replicas:
        hub.after(SPLIT_MAX_LAG, setattr, old, "refusal", "NOREPLICAS Not enough good replicas.")

    def promote() -> None:
        if network.primary is old and network.routes:
            _replace(cluster, snapshot)
            old.running = True
            network.old_primary = old

    hub.after(promotion, promote)
    hub.after(promotion + fault.seconds, heal, cluster)


def heal(cluster: Cluster) -> None:
    """End a partition: the old primary becomes a replica, and its clients must leave it."""
    network = cluster.network
    network.routes.clear()
    old, network.old_primary = network.old_primary, None
    if old is not None:
        old.refusal = "READONLY You can't write against a read only replica."
        cluster.hub.after(1.0, setattr, old, "running", False)
    else:
        network.primary.refusal = ""


# --- SQL -------------------------------------------------------------------------------


def sql_loses_commits(cluster: Cluster, fault: Fault) -> None:
    """A standby of the database takes over that lacks the last commits."""
    cluster.sql.restore(cluster.past.sql(fault.seconds))
    cluster.sql.break_connections(cluster.coordinators.values())


def leader_hangs(cluster: Cluster, fault: Fault) -> None:
    """The leader waits for the database; its other threads go on."""
    leader = cluster.leader()
    if leader:
        cluster.sql.hang(leader, fault.seconds)


# --- others who write to Redis -----------------------------------------------------------


def forged_death(cluster: Cluster, fault: Fault) -> None:
    """Somebody reports the death of a node that lives."""
    alive = [it for it in cluster.hosts.values() if it[0].alive]
    if not alive:
        return
    _, node, incarnation = alive[int(fault.chance * len(alive))]
    witness, of_witness = ("w9", "nobody") if fault.chance * 10 % 1 < 0.5 else (node, incarnation)
    died = Died(node=node, incarnation=incarnation, witness=witness, witness_incarnation=of_witness)
    _report(cluster, reports.encode([died])["reports"])


def newer_version(cluster: Cluster, fault: Fault) -> None:
    """A node of a newer version writes fields and kinds that this one does not know."""
    data = cluster.network.primary.data
    alive = [it for it in cluster.hosts.values() if it[0].alive]
    for _, node, incarnation in alive:
        key = keys.worker(node).encode()
        if data.find(key, dict):
            data.hset(key, b"zone", b"eu", b"cpu", b"nan" if fault.chance < 0.3 else b"0.2")
        rows = [
            {"kind": "hibernated", "node": node, "incarnation": incarnation},
            {
                "kind": "active",
                "node": node,
                "incarnation": incarnation,
                "session_ids": [],
                "zone": "eu",
            },
            {"kind": "running", "node": 5},
        ]
        _report(cluster, json.dumps(rows) if fault.chance < 0.8 else "{")


def _report(cluster: Cluster, text: str) -> None:
    xadd(cluster.network.primary.data, keys.REPORTS.encode(), b"*", b"reports", text.encode())


# --- what operators ask for ---------------------------------------------------------------


def pause_and_resume(cluster: Cluster, fault: Fault) -> None:
    """A customer pauses a session and resumes it: often while it starts."""
    found = sessions.find(str(session(cluster, fault)))
    sessions.set_desired_state(found, "paused")
    later(cluster, fault, lambda: sessions.set_desired_state(found, "running"))


def hibernate_and_wake(cluster: Cluster, fault: Fault) -> None:
    """An operator lets a session hibernate, which wakes by schedule; another may wake it."""
    found = sessions.find(str(session(cluster, fault)))
    cluster.telegram.catches_up = True
    wakes_at = datetime.fromtimestamp(cluster.wall_clock() + fault.seconds, UTC)
    with suppress(AfxError):
        hibernation.request(found, wakes_at)
    if fault.chance * 10 % 1 < 0.5:
        later(cluster, fault, lambda: sessions.set_desired_state(found, "running"))


def rule_off_and_on(cluster: Cluster, fault: Fault) -> None:
    """A customer disables the only rule of a session, and enables it: it may hibernate by then."""
    found = sessions.find(str(session(cluster, fault)))
    [rule] = found.rules
    cluster.telegram.catches_up = True
    rules.change(rule, enabled=False)
    later(cluster, fault, lambda: rules.change(Rule.get_by_id(rule.id), enabled=True))


def move(cluster: Cluster, fault: Fault) -> None:
    """An operator moves a session to any other node."""
    with suppress(AfxError):
        controls.request(
            kind="move", subject=SessionSubject(session(cluster, fault)), actor="operator"
        )


def drain(cluster: Cluster, fault: Fault) -> None:
    """An operator drains a node, and uncordons it later."""
    names = sorted(cluster.supervisors)
    name = names[int(fault.chance * len(names))]
    _set_node_state(name, "draining", "drain")
    later(cluster, fault, lambda: _set_node_state(name, "ready", "uncordon"))


def replace_host(cluster: Cluster, fault: Fault) -> None:
    """An operator replaces a host in place, of any process of a node."""
    _ask_host(cluster, fault, "replace", forced=False)


def recycle(cluster: Cluster, fault: Fault) -> None:
    """An operator recycles a process of a node, sometimes without emptying it first."""
    _ask_host(cluster, fault, "recycle", forced=fault.chance * 10 % 1 < 0.3)


def _ask_host(cluster: Cluster, fault: Fault, kind: str, *, forced: bool) -> None:
    names = sorted({name for it, name, _ in cluster.hosts.values() if it.alive})
    if not names:
        return
    name = names[int(fault.chance * len(names))]
    with suppress(AfxError):
        controls.request(kind=kind, subject=NodeSubject(name), actor="operator", forced=forced)


def _set_node_state(name: str, state: str, kind: str) -> None:
    with suppress(AfxError):
        workers.set_desired_state(name, state)
        controls.request(kind=kind, subject=NodeSubject(name), actor="operator")
