"""The pages of the cluster over time, of scaling, and of what a rule may have."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from html import unescape

import orjson
import pytest
from support.api import TestedApi
from support.dashboard import signed_in

from afx.api.dashboard.cluster_views import judge
from afx.api.dashboard.rule_reference import reference, takes
from afx.cluster import keys, scaling_record
from afx.cluster.scaling_record import ResourceDemand, ScalingRecord
from afx.forwarding.rulefile import schema
from afx.operations import cluster_analytics as operations
from afx.operations.scaling import ScalingStatus
from models.base import utc_now
from models.storage import cluster_analytics
from models.storage.cluster_analytics import Moment

OUT = ScalingRecord(
    "out",
    "ram",
    "RAM fills 3.0 nodes",
    2,
    4,
    4,
    1,
    8,
    3,
    0.0,
    400.0,
    demands={"ram": ResourceDemand(3 * 2**30, 2**30, 4.0)},
)
HOLD = ScalingStatus("hold", False, "enough", "it fits", current=2, desired=2)


@pytest.fixture(scope="module")
def browser(api: TestedApi) -> dict[str, str]:
    for minutes in (9, 7, 5):
        at = utc_now() - timedelta(minutes=minutes)
        moment = Moment(2, 10 + minutes, 100, 1 << 30, 1 << 32, 0.1, 0, 60)
        cluster_analytics.record([moment], since=at, at=at, desired=3)
    return signed_in(api, api.token("*"))


def data_of(page: str) -> dict[str, list[float]]:
    [found] = re.findall(r'data-charts="(.*?)"', page)
    read: dict[str, list[float]] = orjson.loads(unescape(found))
    return read


def test_the_cluster_over_time_is_drawn_and_its_forecast_said(
    api: TestedApi, browser: dict[str, str]
) -> None:
    page = api.get("/analytics/cluster?span=1h", headers=browser, token="").text
    data = data_of(page)
    assert data["nodes"] == [2, 2, 2] and data["desired"] == [3, 3, 3]
    assert data["running"] == [19, 17, 15] and data["forwarded"] == [60, 60, 60]
    assert {len(it) for it in data.values()} == {3}
    drawn = {it for names in re.findall(r'data-series="(.*?)"', page) for it in names.split(",")}
    assert drawn | {"at"} == data.keys()
    assert "There is too little history" in page


def test_a_time_without_rows_is_a_designed_state(
    api: TestedApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operations, "series", lambda *_: [])
    cookie = signed_in(api, api.token("analytics:read"))
    page = api.get("/analytics/cluster?span=7d", headers=cookie, token="").text
    assert "Nothing was stored in this time" in page and "uplot" not in page


def test_scaling_says_first_what_to_do_and_shows_the_figures(
    api: TestedApi, browser: dict[str, str]
) -> None:
    redis = api.context.servers.redis()
    term = int(redis.get(keys.TERM) or 0)  # type: ignore[arg-type]
    redis.set(keys.TERM, term or 1)
    try:
        scaling_record.publish(redis, OUT, term=term or 1, ttl_seconds=60)
        page = api.get("/scaling?span=1h", headers=browser, token="").text
        assert "Add 2 nodes: 4 needed." in page and "for 7 min" in page
        assert "3.0 GiB" in page and "<b>4.00</b>" in page
        assert data_of(page)["desired"] == [3, 3, 3]
        assert 'id="summary"' in page
        limited = signed_in(api, api.token("scaling:read"))
        page = api.get("/scaling", headers=limited, token="").text
        assert "Add 2 nodes" in page and "data-charts" not in page and 'id="summary"' not in page
    finally:
        redis.delete(keys.SCALING)
    page = api.get("/scaling", headers=browser, token="").text
    assert "The recommendation is not current." in page


def test_each_recommendation_has_a_sentence() -> None:
    assert judge(HOLD).sentence == "2 nodes ready, 2 needed."
    assert judge(replace(HOLD, decision="in", desired=1)).sentence == "1 node can go: 1 needed."
    late = judge(replace(HOLD, decision="out", desired=3, standing_seconds=600.0))
    assert (late.tone, late.sentence) == ("busy", "Add 1 node: 3 needed.")
    assert "for 10 min" in late.more
    assert judge(replace(HOLD, is_stale=True)).tone == "warn"
    assert judge(replace(HOLD, text="scale_min_nodes is 1")).more == "scale_min_nodes is 1."


def test_each_field_of_a_rule_is_in_the_reference(api: TestedApi, browser: dict[str, str]) -> None:
    page = api.get("/rule-schema", headers=browser, token="").text
    parts = schema()["$defs"]
    rule = parts["rule"]["properties"]
    names = {
        "fields": set(rule) - {"options"},
        "options": set(rule["options"]["properties"]),
        "conditions": set(parts["condition"]["anyOf"][0]["properties"]),
        "transforms": set(parts["transform"]["anyOf"][0]["properties"]),
    }
    for section, expected in names.items():
        assert expected <= set(re.findall(rf'<tr id="{section}-([^"]*)"', page)), section
    owner = signed_in(api, api.token("rule:read", owner="alice"))
    assert api.get("/rule-schema", headers=owner, token="").status_code == 200


def test_no_field_of_the_reference_is_without_words() -> None:
    rows = [row for section in reference(schema()) for row in section.rows]
    assert len(rows) > 60
    assert not [row.name for row in rows if not row.takes]
    assert [row.name for row in rows if not row.about] == ["alerts.when"]


def test_what_a_field_takes_is_said_in_words() -> None:
    time = {"type": ["string", "integer"], "pattern": "x", "minimum": 60, "maximum": 604800}
    assert takes(time) == "a time, 1m to 7d"
    words = {"enum": ["a", "b", "c"]}
    assert takes({"anyOf": [words, {"type": "array", "items": words}]}) == (
        "a, b or c; or a list of them"
    )
    assert takes({"$ref": "#/$defs/condition"}) == "conditions"
    assert takes({"type": "integer", "minimum": 1, "maximum": 5}) == "a number, 1 to 5"
