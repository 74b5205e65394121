"""The option --since: how far back a command looks."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from datetime import datetime

Since = Annotated[
    str, typer.Option("--since", help="How far back (90s, 15m, 6h, 7d), or an ISO instant.")
]
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def instant(text: str) -> datetime:
    """Return the instant that a text names, as aware UTC."""
    from datetime import UTC, datetime, timedelta

    from afx.errors import UsageError

    found = re.fullmatch(r"(\d{1,6})([smhd])", text, re.ASCII)
    try:
        if found:
            return datetime.now(UTC) - timedelta(seconds=int(found[1]) * _UNITS[found[2]])
        instant = datetime.fromisoformat(text)
        return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise UsageError(
            "--since is a time such as 90s, 15m, 6h or 7d, or an instant such as "
            "2026-11-23T10:00:00; correct it."
        ) from error
