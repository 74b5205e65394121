"""How much mischief of the sandbox a run causes, by chance."""

from __future__ import annotations

import random

_MOST = {
    "omitted": 0.03,
    "doubled": 0.1,
    "late": 0.05,
    "too_long": 0.02,
    "short": 0.2,
    "combined": 0.2,
    "empty": 0.1,
    "failed_answers": 0.005,
    "lost_sessions": 0.003,
    "lagging": 0.2,
    "shuffled": 0.3,
}
_LOST_ANSWERS = 0.0005


def shares(rng: random.Random, *, lost_answers: bool = False) -> dict[str, float]:
    """Return a share of each kind of mischief, as the sandbox's call ``mischief`` takes them.

    A lost answer costs its session the deadline of a request, so it is asked for.
    """
    found = {name: rng.uniform(0, most) for name, most in _MOST.items()}
    found["lost_answers"] = rng.uniform(0, _LOST_ANSWERS) if lost_answers else 0.0
    return found
