"""What a session of each class costs in RAM, learned from whole nodes.

A class is a tier and whether the session was active recently. A node's memory
is ``base + Σ count · cost``. The costs are fitted over all nodes by ridge
regression (Hoerl and Kennard, 1970) toward a prior, the assumed cost, which
prevails while there are few sessions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Class = tuple[bool, bool]
"""(premium, active)"""
CLASSES: tuple[Class, ...] = ((False, False), (False, True), (True, False), (True, True))
_PRIOR_SESSIONS = 50.0
"""The prior weighs as much as a node with this many sessions of a class."""


def fit(
    nodes: Sequence[tuple[float, Mapping[Class, int]]], assumed: float, base: float
) -> dict[Class, float]:
    """Return each class's cost in bytes.

    ``nodes`` are (RSS in bytes, sessions by class); ``base`` is what a node
    needs without sessions. No cost is below a tenth of the assumed one.
    """
    size = len(CLASSES)
    matrix = [[0.0] * size for _ in range(size)]
    right = [0.0] * size
    for i in range(size):
        matrix[i][i] = _PRIOR_SESSIONS**2
        right[i] = _PRIOR_SESSIONS**2 * assumed
    for rss, counts in nodes:
        row = [float(counts.get(it, 0)) for it in CLASSES]
        used = max(0.0, rss - base)
        for i in range(size):
            right[i] += row[i] * used
            for j in range(size):
                matrix[i][j] += row[i] * row[j]
    costs = _solve(matrix, right)
    return {it: max(assumed / 10, cost) for it, cost in zip(CLASSES, costs, strict=True)}


def _solve(matrix: list[list[float]], right: list[float]) -> list[float]:
    """Solve a small, positive definite system by elimination."""
    size = len(right)
    rows = [[*line, value] for line, value in zip(matrix, right, strict=True)]
    for i in range(size):
        for j in range(i + 1, size):
            factor = rows[j][i] / rows[i][i]
            for k in range(i, size + 1):
                rows[j][k] -= factor * rows[i][k]
    found = [0.0] * size
    for i in reversed(range(size)):
        rest = sum(rows[i][j] * found[j] for j in range(i + 1, size))
        found[i] = (rows[i][size] - rest) / rows[i][i]
    return found
