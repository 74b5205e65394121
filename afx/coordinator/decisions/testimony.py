"""Whether a report of a node's death is the testimony of one that could see it."""

from __future__ import annotations

from collections.abc import Iterable

from afx.cluster.reports import Died
from afx.cluster.worker_records import WorkerView


def is_credible(report: Died, nodes: Iterable[WorkerView]) -> bool:
    """Return whether the witness runs where the dead node's processes ran.

    Both must be registered under the incarnations that the report names, on the same
    boot of the same machine and in the same pid namespace: from elsewhere the end of a
    process cannot be seen.
    """
    by_incarnation = {it.incarnation: it for it in nodes}
    dead = by_incarnation.get(report.incarnation)
    witness = by_incarnation.get(report.witness_incarnation)
    if dead is None or witness is None or dead is witness:
        return False
    if (dead.name, witness.name) != (report.node, report.witness):
        return False
    machine = (dead.boot_id, dead.pid_namespace)
    return all(machine) and machine == (witness.boot_id, witness.pid_namespace)
