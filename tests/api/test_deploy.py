"""Alert rules and the Grafana dashboard use metrics that exist."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.api import TestedApi

from afx.api.frames import Snapshot
from afx.api.metrics import rendered
from afx.clock import SYSTEM_CLOCK
from afx.cluster.redis_faults import RedisFault
from afx.coordinator.coordinator_figures import CoordinatorFigures
from afx.exposition import lines
from afx.node.lease_memory import LeaseMemory
from afx.node.node_figures import NodeFigures
from afx.operations.cluster import ActivitySample, NodeActivity
from models.base import utc_now

DEPLOY = Path(__file__).parents[2] / "deploy"


@pytest.fixture(scope="module")
def metrics(api: TestedApi) -> str:
    """All metrics, of a cluster with a node whose name is odd."""
    snapshot = api.run(api.api.hub.recent(0))
    node = NodeActivity('w"1\\', "ready", 0.5, 1, 2, 0.1, 3, 0, 10, 99, 1.5, True)
    gone = NodeActivity("gone", "left", 0.5, 1, 2, 0.1, 3, 0, 10, 99, 1.5, False)
    sample = ActivitySample((node, gone), ())
    api.api.hub.snapshot = Snapshot(utc_now().timestamp(), snapshot.status, sample)
    coordinator, own = CoordinatorFigures(SYSTEM_CLOCK), NodeFigures("w1", SYSTEM_CLOCK)
    coordinator.note_lead(3)
    coordinator.note_end("fenced")
    memory = LeaseMemory()
    memory.note_redis_fault(RedisFault.BUSY)
    memory.beat(1.0, 0, 0, 0)
    own.note_begin(memory)
    own.note_heartbeat("unreachable", "")
    found = (*coordinator.probed().metrics(), *own.probed().metrics())
    processes = "".join(f"{it}\n" for it in lines(found))
    return api.run(rendered(api.api)).decode() + processes


def names_in(expression: str) -> set[str]:
    return set(re.findall(r"\bafx_\w+", expression))


def test_every_line_is_of_the_text_format_and_every_metric_has_a_type(metrics: str) -> None:
    typed = set(re.findall(r"^# TYPE (\w+) (?:gauge|counter|histogram)$", metrics, re.M))
    line = re.compile(r'(\w+)(\{(\w+="([^"\\\n]|\\.)*",?)+\})? [-+.\deE]+')
    for text in metrics.splitlines():
        if not text.startswith("#"):
            found = line.fullmatch(text)
            assert found, text
            assert re.sub("_(bucket|sum|count)$", "", found[1]) in typed or found[1] in typed


def test_labels_name_nodes_and_states_and_no_session(metrics: str) -> None:
    assert set(re.findall(r'[{,](\w+)="', metrics)) <= {
        *("node", "queue", "kind", "state", "method", "status", "le")
    }
    assert r'afx_node_sessions{node="w\"1\\"} 3' in metrics
    assert "gone" not in metrics


def test_alert_rules_and_the_dashboard_use_metrics_that_exist(metrics: str) -> None:
    known = names_in(metrics)
    rules = yaml.safe_load((DEPLOY / "prometheus/afx.rules.yml").read_text())
    for group in rules["groups"]:
        for it in group["rules"]:
            # Sessions by state and nodes have series only while there are some.
            assert names_in(it["expr"]) <= known, it["alert"]
            assert {"summary", "remedy"} <= set(it["annotations"])
    board: dict[str, Any] = json.loads((DEPLOY / "grafana/afx.json").read_text())
    used = {name for it in board["panels"] for t in it["targets"] for name in names_in(t["expr"])}
    assert used - {"afx_sessions", "afx_desired_nodes", "afx_desired_nodes_stale"} <= known
    typed = set(re.findall(r"^# TYPE (\w+)", metrics, re.M))
    parts = {f"{it}{part}" for it in typed for part in ("", "_bucket", "_sum", "_count")}
    assert {it for it in typed if not used & {f"{it}{p}" for p in ("", "_bucket")}} == set()
    assert used - {"afx_sessions", "afx_desired_nodes", "afx_desired_nodes_stale"} <= parts


def test_promtool_accepts_the_rules() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("no promtool: install Prometheus (Debian: apt-get install prometheus)")
    place = DEPLOY / "prometheus"
    for command in (("check", "rules", "afx.rules.yml"), ("test", "rules", "afx.rules.test.yml")):
        done = subprocess.run(
            [promtool, *command], cwd=place, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
