"""Draws a series in a terminal: columns of blocks, with its scale."""

from __future__ import annotations

import math
import shutil
import sys
from collections.abc import Callable, Sequence

_BLOCKS = " ▁▂▃▄▅▆▇█"
_PLAIN = " .:-=+*#@"
_LABEL = 10
_WIDTH = 100


def draw(
    values: Sequence[float],
    *,
    width: int,
    height: int = 6,
    label: Callable[[float], str] = lambda value: f"{value:,.0f}",
    plain: bool = False,
) -> list[str]:
    """Return the lines of a chart, the top one first; values that are not numbers are gaps.

    More values than columns are drawn by their highest of each column: no peak is hidden.
    ``plain`` uses ASCII only.
    """
    columns = max(1, width - _LABEL - 2)
    shown = _fitted([it if math.isfinite(it) else math.nan for it in values], columns)
    known = [it for it in shown if not math.isnan(it)]
    if not known:
        return ["no data"]
    top = max(*known, 0.0) or 1.0
    marks = _PLAIN if plain else _BLOCKS
    steps = len(marks) - 1
    lines = []
    for row in range(height, 0, -1):
        text = ""
        for value in shown:
            filled = 0.0 if math.isnan(value) else max(0.0, value) / top * height - (row - 1)
            text += marks[min(steps, max(0, round(filled * steps)))]
        name = label(top) if row == height else label(0.0) if row == 1 else ""
        lines.append(f"{name:>{_LABEL}} {'|' if plain else '┤'}{text}".rstrip())
    return lines


def show(values: Sequence[float], label: Callable[[float], str]) -> None:
    """Print a chart as wide as the terminal, in the characters that it has."""
    width = shutil.get_terminal_size((_WIDTH, 24)).columns
    plain = sys.stdout.encoding.lower() not in ("utf-8", "utf8")
    for line in draw(values, width=width, height=4, label=label, plain=plain):
        print(line)


def _fitted(values: Sequence[float], columns: int) -> list[float]:
    if len(values) <= columns:
        return list(values)
    found = []
    for i in range(columns):
        part = values[i * len(values) // columns : (i + 1) * len(values) // columns]
        known = [it for it in part if not math.isnan(it)]
        found.append(max(known) if known else math.nan)
    return found
