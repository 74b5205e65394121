"""afx status."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from cli import output
from cli.shared import Invocation, shared

if TYPE_CHECKING:
    from afx.operations.cluster import ClusterStatus


@shared("watch", "redis_url", "database_url", "json")
def status(invocation: Invocation) -> None:
    """Show the cluster in a few lines: leader, nodes, sessions, overflow queue.

    Exits 3 when no coordinator leads.

    Example:  afx status --watch
    """
    from afx.operations import cluster

    leader = None

    def draw() -> None:
        nonlocal leader
        found = cluster.status(invocation.context)
        leader = found.leader
        if invocation.json:
            output.print_json(found)
        else:
            _print(found)

    output.repeat(draw, invocation.watch)
    if leader is None:
        raise typer.Exit(3)


def _print(found: ClusterStatus) -> None:
    leader = f"{found.leader} leads" if found.leader else "no leader"
    print(f"coordinator  {leader} (term {found.term})")
    odd = ", ".join(f"{name} {state}" for name, state in found.not_ready.items())
    print(
        f"nodes        {found.nodes} live of {found.nodes_known} known"
        + (f" ({odd})" if odd else "")
    )
    for name, fault in found.redis_faults.items():
        print(f"             {name}: {output.cell(fault)}")
    states = ", ".join(f"{count} {state}" for state, count in found.sessions.items()) or "none"
    print(f"sessions     {states}")
    if found.waiting:
        print(f"overflow     {found.waiting} sessions wait for room: see 'afx overflow list'")
    else:
        print("overflow     the overflow queue is empty")
    print(f"forwarded    {found.forwarded} messages by the live nodes")
    if found.queue_ages:
        ages = ", ".join(f"{name} {age:.1f} s" for name, age in found.queue_ages.items())
        print(f"tasks        wait, the oldest ones for: {ages}; see 'afx queue list'")
    if found.controls:
        print(f"controls     {found.controls} under way: see 'afx control list --open'")
    if found.troubled:
        print(f"troubled     {found.troubled} sessions: see 'afx session list --trouble'")
    if found.reports_refused:
        print(f"refused      {found.reports_refused} records in Redis that could not be read")
    if found.jobs_refused:
        print(f"refused      {found.jobs_refused} jobs that are not signed, or not for their node")
    if found.specs_refused:
        print(
            f"refused      {found.specs_refused} specs in Redis that no coordinator has written: "
            "see 'afx audit list --action spec.refused'"
        )
    if found.audit_fault:
        print(f"audit log    DAMAGED: {found.audit_fault}; see 'afx audit verify'")
    if found.sandbox:
        print("sandbox      a local Telegram runs here: nothing goes to the real one")
