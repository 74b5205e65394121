"""The option ``digest``: how it is written, what it means, and when the next one is due."""

from __future__ import annotations

from datetime import UTC, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afx.forwarding.digests import DIGEST, Digest, compile_digest, digest_sentence, shown_digest
from afx.forwarding.forms import Place, node_of
from afx.forwarding.rule_text import Problems

BERLIN = ZoneInfo("Europe/Berlin")


def read(value: Any) -> tuple[Any, int]:
    problems = Problems("x")
    found = DIGEST.read(node_of(value), Place(problems, "digest"))
    return found, len(problems)


def at(text: str, zone: Any = UTC) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()


@pytest.mark.parametrize(
    "value",
    [
        {"every": "1h"},
        {"every": "1d", "zone": "Europe/Berlin"},
        {"at": ["08:00", "18:30"], "zone": "America/Sao_Paulo", "length": 80},
    ],
)
def test_it_is_read_compiled_and_shown_as_it_was_written(value: dict[str, Any]) -> None:
    found, problems = read(value)
    assert not problems
    made = compile_digest(found)
    assert {"digest": found, **shown_digest({"digest": found})} == {"digest": value}
    assert made.length == value.get("length", 300)
    assert str(made.zone) == value.get("zone", "UTC")
    assert "sent together" in digest_sentence(found)


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"zone": "UTC"},
        {"every": "1h", "at": ["08:00"]},
        {"every": "10s"},
        {"every": "2d"},
        {"at": ["8:00"]},
        {"at": ["24:00"]},
        {"at": []},
        {"every": "1h", "length": 5},
        {"every": "1h", "zone": "Mars/Base"},
        {"every": "1h", "x": 1},
    ],
)
def test_what_is_none_is_refused(value: dict[str, Any]) -> None:
    assert read(value)[1]


@pytest.mark.parametrize("value", [1, "x", [], {}, {"every": "1h"}, {"at": "08:00"}, {"at": [8]}])
def test_a_node_refuses_what_it_does_not_understand(value: Any) -> None:
    with pytest.raises(ValueError, match="digest"):
        compile_digest(value)


@pytest.mark.parametrize(
    ("digest", "after", "due"),
    [
        (Digest(every=3_600), "2026-11-30T07:02", "2026-11-30T08:00"),
        (Digest(every=3_600), "2026-11-30T08:00", "2026-11-30T09:00"),
        (Digest(every=3_600 * 7), "2026-11-30T22:00", "2026-12-01T00:00"),
        (Digest(at=(time(8), time(18))), "2026-11-30T07:59:59", "2026-11-30T08:00"),
        (Digest(at=(time(8), time(18))), "2026-11-30T08:00", "2026-11-30T18:00"),
        (Digest(at=(time(8), time(18))), "2026-11-30T18:00", "2026-12-01T08:00"),
        (Digest(at=(time(8),), zone=BERLIN), "2026-07-01T05:00", "2026-07-01T06:00"),
        (Digest(at=(time(8),), zone=BERLIN), "2026-12-01T05:00", "2026-12-01T07:00"),
        (Digest(every=86_400, zone=BERLIN), "2026-12-01T22:30", "2026-12-01T23:00"),
    ],
)
def test_the_next_one_is_due_by_the_clock_of_its_zone(digest: Digest, after: str, due: str) -> None:
    assert digest.next_time(at(after)) == at(due)


zones = st.sampled_from([UTC, BERLIN, ZoneInfo("Asia/Kolkata"), ZoneInfo("America/Sao_Paulo")])
times = st.lists(st.times().map(lambda it: it.replace(second=0, microsecond=0)), max_size=4)


@given(st.floats(0, 4e9), st.integers(60, 86_400), times, zones)
def test_a_digest_is_due_later_and_within_a_day_and_an_hour_or_two(
    after: float, every: int, at: list[time], zone: Any
) -> None:
    due = Digest(every, tuple(at), zone).next_time(after)
    assert after < due <= after + 86_400 + 2 * 3_600
    assert Digest(every, tuple(at), zone).next_time(due) > due


@given(st.floats(0, 4e9), st.floats(0, 200_000), times, zones)
def test_what_comes_later_is_not_due_earlier(
    first: float, later: float, at: list[time], zone: Any
) -> None:
    digest = Digest(3_600, tuple(at), zone)
    assert digest.next_time(first) <= digest.next_time(first + later)
