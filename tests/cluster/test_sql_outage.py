"""A Postgres that stops, or is blocked, under a whole cluster of real processes."""

from __future__ import annotations

import time
from collections.abc import Iterator

import psycopg
import pytest
from support.labs import FlowingLab, assert_clean
from support.postgres import PostgresServer, postgres_server

from afx.lab.cluster import LabCluster
from models import base
from models.storage import assignments, cluster
from models.tables import ClusterState


@pytest.fixture
def postgres() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


def generation() -> int:
    return int(ClusterState.get_by_id(1).generation)


def logged(lab: LabCluster, event: str) -> bool:
    return f'"event": "{event}"' in lab.log.read_text()


def node_states(lab: LabCluster) -> dict[str, str]:
    return {it.name: it.state for it in lab.registry.all()}


def test_a_node_that_dies_while_postgres_is_down_is_replaced_when_it_is_back(
    postgres: PostgresServer, flowing_lab: FlowingLab
) -> None:
    lab = flowing_lab(3, 12, posts=1500, rate=60, database_url=postgres.url)
    lab.processes.start_coordinator("coordinator-2")
    before = cluster.term(), generation()
    node = lab.busiest_node()
    victims = lab.owned_by(node)
    base.close_database()
    postgres.stop()
    lab.wait("the outage is noticed", lambda: logged(lab, "database_unreachable"), 60)
    delivered = lab.judge().delivered
    lab.processes.kill_tree(node)
    lab.wait("the death is seen", lambda: node_states(lab).get(node) == "fenced", 60)
    lab.wait("sessions run on", lambda: lab.judge().delivered > delivered + 60, 60)
    postgres.start()
    base.reopen_database()
    back_at = time.monotonic()
    lab.wait(
        "its sessions have new nodes",
        lambda: (
            {it.id for it in victims}
            <= {it.session for it in assignments.active() if it.worker != node}
        ),
        60,
    )
    print(f"handled {time.monotonic() - back_at:.2f} s after Postgres was back")
    verdict = lab.wait_delivered(60)
    assert_clean(verdict)
    assert (cluster.term(), generation()) == before


def test_a_leader_whose_sql_is_blocked_by_a_lock_keeps_its_term(
    postgres: PostgresServer, flowing_lab: FlowingLab
) -> None:
    """Another leader would wait for the same lock."""
    lab = flowing_lab(2, 8, posts=1200, rate=60, database_url=postgres.url)
    before = cluster.term(), generation()
    node = lab.busiest_node()
    with psycopg.connect(postgres.url) as other:
        other.execute("LOCK TABLE cluster_state, session_assignments")
        lab.processes.kill_tree(node)
        lab.wait("the lock is noticed", lambda: logged(lab, "database_unreachable"), 60)
    lab.processes.start_node("w3")
    verdict = lab.wait_delivered(60)
    assert_clean(verdict)
    assert (cluster.term(), generation()) == before
