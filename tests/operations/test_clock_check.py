"""`afx doctor` compares this machine's clock with those of the servers."""

from __future__ import annotations

import time

import pytest

from afx.operations.redis_checks import check_clock


@pytest.mark.parametrize("off", [-400.0, 30.0])
def test_a_clock_that_is_off_is_found_since_signed_jobs_expire(off: float) -> None:
    found = list(check_clock("Redis", time.time() + off))
    assert len(found) == 1 and "apart" in str(found[0])


def test_a_clock_that_is_right_is_no_trouble() -> None:
    assert not [it for it in check_clock("Redis", time.time()) if "apart" in str(it)]
