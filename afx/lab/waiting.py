"""Waiting for a condition, with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable

from afx.errors import AfxError

POLL_SECONDS = 0.02


def wait_until(
    done: Callable[[], bool],
    *,
    what: str,
    seconds: float,
    poll_seconds: float = POLL_SECONDS,
    hint: str = "",
    meanwhile: Callable[[], None] = lambda: None,
) -> None:
    """Wait until ``done`` returns true, and call ``meanwhile`` between two checks.

    Raises AfxError, which names ``what`` was awaited and ends with ``hint``, when
    the time is over.
    """
    until = time.monotonic() + seconds
    while not done():
        if time.monotonic() > until:
            message = f"Timed out after {seconds:.0f} s: waiting until {what}. {hint}"
            raise AfxError(message.rstrip())
        meanwhile()
        time.sleep(poll_seconds)
