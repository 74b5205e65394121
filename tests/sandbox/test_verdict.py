"""The value in which the judge's figures travel."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from afx.errors import SandboxError
from afx.sandbox.judge.verdict import Latency, Verdict

GOOD = Verdict(published=3, expected=3, delivered=3, latency_ms=Latency(1.5, 2.5), posted=3, sent=3)


def test_a_verdict_survives_its_way_through_json() -> None:
    assert Verdict.from_json(json.loads(json.dumps(GOOD.to_json()))) == GOOD


def test_a_verdict_without_copies_has_no_latency() -> None:
    assert Verdict.from_json(Verdict().to_json()).latency_ms == Latency(None, None)


@pytest.mark.parametrize(
    "name", ["lost", "duplicated", "out_of_order", "altered", "wrong_replies", "revoked"]
)
def test_each_kind_of_damage_makes_a_verdict_unclean(name: str) -> None:
    assert GOOD.is_clean
    assert not replace(GOOD, **{name: 1}).is_clean


@pytest.mark.parametrize("value", [None, "3", True, 1.5])
def test_a_figure_that_is_no_count_is_refused(value: object) -> None:
    with pytest.raises(SandboxError, match="lost"):
        Verdict.from_json(GOOD.to_json() | {"lost": value})


def test_fields_of_a_newer_sandbox_are_left_out() -> None:
    assert Verdict.from_json(GOOD.to_json() | {"polls": 4}) == GOOD
