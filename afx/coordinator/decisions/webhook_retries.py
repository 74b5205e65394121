"""When a delivery to a webhook is tried again: a growing pause, as a pure function."""

from __future__ import annotations

MOST_ATTEMPTS = 12
_FIRST_SECONDS = 10.0
_GROWTH = 3.0
_LONGEST_SECONDS = 6 * 3600.0
_SPREAD = 0.2


def pause_seconds(attempts: int, chance: float, retry_after: float = 0.0) -> float | None:
    """Return how long a delivery waits after so many attempts; None: it has failed for good.

    10 s, 30 s, 90 s, … up to 6 hours: 12 attempts take about 27 hours. ``chance``
    (0 to 1) spreads the attempts by a fifth, so that they do not come all at once.
    ``retry_after`` is what the receiver asks for, in seconds.
    """
    if attempts >= MOST_ATTEMPTS:
        return None
    pause = min(_FIRST_SECONDS * _GROWTH ** (attempts - 1), _LONGEST_SECONDS)
    spread = pause * (1 + _SPREAD * (2 * chance - 1))
    return max(spread, min(retry_after, _LONGEST_SECONDS))
