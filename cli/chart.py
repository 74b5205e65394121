"""Draws a series in a terminal: columns of blocks, with its scale."""

from __future__ import annotations

import math
import shutil
import sys
from collections.abc import Callable, Sequence

_BLOCKS = " ▁▂▃▄▅▆▇█"
_PLAIN = " .:-=+*#@"
_LABEL = 10
_LEAST_COLUMNS = 20
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
    ``plain`` uses ASCII only. In a narrow terminal the scale has a line of its own.
    """
    numbers = [it if math.isfinite(it) else math.nan for it in values]
    top = max([it for it in numbers if not math.isnan(it)] or [0.0])
    top = top if top > 0 else 1.0
    labelled = max(_LABEL, len(label(top)), len(label(0.0)))
    is_narrow = width < labelled + _LEAST_COLUMNS
    shown = _fitted(numbers, max(1, width - 1 if is_narrow else width - labelled - 2))
    if all(math.isnan(it) for it in shown):
        return ["no data"]
    marks = _PLAIN if plain else _BLOCKS
    steps = len(marks) - 1
    lines = [f"0..{label(top)}"[: max(1, width)]] if is_narrow else []
    for row in range(height, 0, -1):
        text = ""
        for value in shown:
            filled = 0.0 if math.isnan(value) else max(0.0, value) / top * height - (row - 1)
            text += marks[min(steps, max(0, round(filled * steps)))]
        name = label(top) if row == height else label(0.0) if row == 1 else ""
        scale = "" if is_narrow else f"{name:>{labelled}} "
        lines.append(f"{scale}{'|' if plain else '┤'}{text}".rstrip())
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
