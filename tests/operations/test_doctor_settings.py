"""`afx doctor`: what it says of settings that are valid, and yet dangerous."""

from __future__ import annotations

from pathlib import Path

import pytest

from afx.config import load
from afx.operations import doctor


@pytest.mark.parametrize(("days", "warned"), [(5.0, False), (6.9, False), (7.0, True)])
def test_sessions_that_sleep_for_as_long_as_telegram_keeps_a_login_are_a_warning(
    home: Path, days: float, warned: bool
) -> None:
    settings = load(home=home, api_id=1, hibernate_wake_days=days)
    found = [it.grade for it in doctor._settings(settings)]
    assert ("warn" in found) is warned
