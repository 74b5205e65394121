"""The probes of a real coordinator and a real node."""

from __future__ import annotations

import socket
import urllib.request

from support.labs import NewLab

from afx.lab.cluster import LabCluster


def ask(port: int, path: str) -> str:
    """Return an answer's text; empty when nothing listens, or it is not ok."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return str(answer.read().decode())
    except OSError:  # an HTTPError is one
        return ""


def free_range(count: int) -> tuple[int, int]:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        first = min(int(one.getsockname()[1]), 65535 - count)
    return first, first + count


def port_of(lab: LabCluster, metric: str, first: int, last: int) -> int:
    found: list[int] = []

    def listens() -> bool:
        found[:] = [it for it in range(first, last + 1) if metric in ask(it, "/metrics")]
        return bool(found)

    lab.wait(f"a process shows {metric}", listens, 60)
    return found[0]


def test_a_coordinator_and_a_node_show_what_they_do(new_lab: NewLab) -> None:
    first, last = free_range(8)
    lab = new_lab({"AFX_METRICS_ADDRESS": f"127.0.0.1:{first}-{last}"})
    lab.processes.start_coordinator()
    lab.processes.start_nodes(1)
    lab.wait_nodes(1)
    leader = port_of(lab, "afx_coordinator_leads 1", first, last)
    node = port_of(lab, 'afx_node_ready{node="w1"} 1', first, last)
    assert leader != node
    assert "leads in term" in ask(leader, "/readyz")
    assert "the lease has" in ask(node, "/readyz")
    assert ask(leader, "/healthz") and ask(node, "/healthz")

    # The process of its sessions dies: the node says so, and starts another one.
    supervisor, host, *_ = lab.process_tree("w1")
    host.kill()
    died = 'afx_node_ended_incarnations_total{node="w1",kind="host_died"} 1'
    lab.wait("the node has counted it", lambda: died in ask(node, "/metrics"), 60)
    lab.wait("it is ready again", lambda: "the lease has" in ask(node, "/readyz"), 60)

    # It stops, and its probes with it.
    supervisor.terminate()
    lab.wait("it has ended, and nothing listens", lambda: not ask(node, "/metrics"), 60)
