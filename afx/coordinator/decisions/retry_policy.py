"""When a session that failed is tried again: a growing pause, as a pure function."""

from __future__ import annotations

_PAUSE_SECONDS = (1, 2, 5, 10, 30, 60, 300, 900, 1800)


def pause_seconds(failures: int) -> int:
    """Return how long a session waits after so many failures in a row, at least one."""
    return _PAUSE_SECONDS[min(failures, len(_PAUSE_SECONDS)) - 1]
