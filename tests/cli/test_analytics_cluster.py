"""`afx analytics` about the whole cluster: drawn, as CSV, as JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import fields
from datetime import timedelta
from pathlib import Path

import pytest
from support.cli_runs import Run, runner
from support.databases import open_sqlite

from afx.operations.task_times import Percentiles, TimesRow
from cli.analytics_cluster import print_csv
from models import base
from models.base import utc_now
from models.storage import analytics, cluster_analytics, scaling
from models.storage.analytics import Sample
from models.storage.cluster_analytics import Moment


@pytest.fixture(scope="module")
def afx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A home with three hours of a cluster that fills."""
    home: Path = tmp_path_factory.mktemp("afx")
    open_sqlite(home)
    now = utc_now()
    for it in range(180):
        at = now - timedelta(minutes=180 - it)
        used = 100 + it
        moment = Moment(2, used, 1000, used << 20, 1 << 30, 0.5, 0, 60)
        cluster_analytics.record([moment], since=at, at=at, desired=3)
    analytics.sample_many([Sample("=w1", 1 << 20, 0.5, 3, 9, 0.25)], now)
    scaling.record("out", current=2, desired=3, reason="RAM", figures={})
    base.close_database()
    yield runner(home)


def test_the_cluster_is_drawn(afx: Run) -> None:
    done = afx("analytics", "cluster", "--since", "6h", "--chart")
    assert done.returncode == 0, done.stderr
    assert "sessions" in done.stdout
    assert "█" in done.stdout
    drawn = afx("analytics", "workers", "--chart", PYTHONIOENCODING="ascii")
    assert drawn.returncode == 0, drawn.stderr
    assert drawn.stdout.isascii()


def test_csv_has_all_rows_and_no_formula(afx: Run) -> None:
    done = afx("analytics", "cluster", "--since", "6h", "--csv")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert len(rows) >= 175
    assert {it["desired"] for it in rows} == {"3.0"}
    exported = afx("analytics", "export", "--csv").stdout
    [row] = csv.DictReader(io.StringIO(exported))
    assert row["worker"] == "'=w1"
    [node] = csv.DictReader(io.StringIO(afx("analytics", "workers", "--csv").stdout))
    assert (node["worker"], node["forwarded"]) == ("'=w1", "9")
    assert afx("analytics", "tasks", "--csv").stdout == ""


def test_csv_has_a_column_for_each_deeper_figure(capsys: pytest.CaptureFixture[str]) -> None:
    halves = Percentiles(0.5, 0.9, 1.0)
    print_csv([TimesRow("=probe", 3, 1, halves, halves)])
    [row] = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert (row["name"], row["count"]) == ("'=probe", "3")
    assert {it for it in row if it.startswith("waited_")} == {
        f"waited_{it.name}" for it in fields(Percentiles)
    }


def test_the_forecast_names_the_day_of_sessions_first(afx: Run) -> None:
    [sessions, ram] = json.loads(afx("analytics", "forecast", "--since", "6h", "--json").stdout)
    assert sessions["trend"] == "rising"
    assert 0.4 < sessions["days"] < 0.6  # 720 more, at 1,440 a day
    assert ram["resource"] == "ram"
    assert "full in" in afx("analytics", "forecast", "--since", "6h").stdout
    assert "too little history" in afx("analytics", "forecast", "--since", "5m").stdout


def test_node_hours_are_summed(afx: Run) -> None:
    found = json.loads(afx("analytics", "scaling", "--json").stdout)
    assert (found["changes"], found["by_decision"]["out"]) == (1, 1)
    assert 5.8 < found["node_hours"] <= 6
    assert 8.7 < found["desired_hours"] <= 9
    assert json.loads(afx("analytics", "rules", "--json").stdout)["rules"] == 0
    assert "No task finished" in afx("analytics", "tasks").stderr
