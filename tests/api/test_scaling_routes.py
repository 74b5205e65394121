"""Scaling and the cluster over time, as the API tells them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from support.api import TestedApi

from afx.api.metrics import rendered
from afx.cluster import keys, scaling_record
from afx.cluster.scaling_record import ScalingRecord
from models.base import utc_now
from models.storage import cluster_analytics, scaling
from models.storage.cluster_analytics import Moment

OUT = ScalingRecord("out", "ram", "RAM fills 3.0 nodes", 2, 4, 4, 1, 8, 0, 0.0, 1.0)


def test_the_recommendation_is_served_and_is_a_metric(api: TestedApi) -> None:
    redis = api.context.servers.redis()
    term = int(redis.get(keys.TERM) or 0)  # type: ignore[arg-type]
    redis.set(keys.TERM, term or 1)
    try:
        scaling_record.publish(redis, OUT, term=term or 1, ttl_seconds=60)
        found = api.get("/api/v1/scaling/recommendation").json()
        assert (found["decision"], found["desired"], found["is_stale"]) == ("out", 4, False)
        api.api.kept.forget()
        text = api.run(rendered(api.api)).decode()
        assert "\nafx_desired_nodes 4\n" in text
        assert "\nafx_desired_nodes_stale 0\n" in text
        stale = replace(OUT, decision="hold", reason="stale")
        scaling_record.publish(redis, stale, term=term or 1, ttl_seconds=60)
        api.api.kept.forget()
        assert "\nafx_desired_nodes_stale 1\n" in api.run(rendered(api.api)).decode()
    finally:
        redis.delete(keys.SCALING)
        api.api.kept.forget()


def test_without_any_recommendation_there_is_no_series(api: TestedApi) -> None:
    api.api.kept.forget()
    text = api.run(rendered(api.api)).decode()
    assert ("\nafx_desired_nodes " in text) is (scaling.latest() is not None)
    assert api.get("/api/v1/scaling/recommendation").json()["is_stale"] is True


def test_the_cluster_over_time_is_served(api: TestedApi) -> None:
    at = utc_now() - timedelta(minutes=5)
    moment = Moment(2, 10, 100, 1 << 20, 1 << 30, 0.1, 0, 5)
    cluster_analytics.record([moment], since=at, at=at, desired=2)
    [row] = api.get("/api/v1/analytics/cluster").json()
    assert (row["nodes"], row["sessions"]) == (2, 10)
    forecast = api.get("/api/v1/analytics/forecast").json()
    assert {it["trend"] for it in forecast} == {"too short"}
    assert api.get("/api/v1/analytics/scaling").json()["peak_nodes"] == 2
    assert api.get("/api/v1/analytics/cluster", params={"hours": -1}).status_code == 422
