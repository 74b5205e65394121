"""Whether options of rules agree with the settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from afx.errors import UsageError
from afx.forwarding.forms import duration_text
from afx.operations.context import Context

_DAY = 86_400


def check_life(context: Context, options: Mapping[str, Any]) -> None:
    """Check that copies are deleted while their links are known; raises UsageError.

    A copy without a link is found by nobody, and would stay.
    """
    life, days = options.get("auto_delete", 0), context.settings.link_days
    if life > days * _DAY:
        raise UsageError(
            f"Copies are to be deleted after {duration_text(life)} (auto_delete), and links to "
            f"them are kept for {days} days only (the setting link_days); nothing was changed. "
            "Give a shorter time, or keep links for longer on all coordinators and nodes."
        )
