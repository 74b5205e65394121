"""Charts in a terminal, and cells that no spreadsheet runs."""

from __future__ import annotations

import math

import pytest

from afx.operations.csv_cells import csv_cell
from cli.chart import draw


def test_a_chart_has_its_scale_and_its_shape() -> None:
    lines = draw([0, 1, 2, 4], width=40, height=4)
    assert [it.strip() for it in lines] == ["4 ┤   █", "┤   █", "┤  ██", "0 ┤ ███"]


def test_no_peak_is_hidden_and_no_line_is_too_long() -> None:
    values = [1.0] * 5000
    values[1234] = 50.0
    lines = draw(values, width=60, height=3)
    assert "█" in lines[0]
    assert all(len(it) <= 60 for it in lines)


@pytest.mark.parametrize("width", [1, 2, 5, 12, 31, 32, 33, 40])
def test_no_line_is_too_long_for_a_narrow_terminal(width: int) -> None:
    lines = draw([1.0, 2e9, 3.0] * 40, width=width, height=4)
    assert all(len(it) <= max(width, 2) for it in lines)
    assert any("█" in it for it in lines)


def test_gaps_nothing_and_zeros_are_drawn() -> None:
    assert draw([], width=40) == ["no data"]
    assert draw([math.nan], width=40) == ["no data"]
    assert "no data" not in draw([0.0, math.inf, 1.0], width=40)
    assert len(draw([0.0, 0.0], width=40, height=2)) == 2
    assert draw([-1.0, -2.0], width=40, height=1) == ["         1 ┤"]


def test_a_terminal_without_unicode_gets_ascii() -> None:
    assert all(it.isascii() for it in draw([1, 2, 3], width=40, plain=True))


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "  =cmd|'!A0", "＝1+1", "＠A"],
)
def test_a_text_that_could_be_a_formula_is_quoted(text: str) -> None:
    assert csv_cell(text) == f"'{text}"


@pytest.mark.parametrize(("value", "cell"), [(-5, -5), (0.5, 0.5), (None, ""), ("w1-a", "w1-a")])
def test_numbers_and_ordinary_texts_stay_as_they_are(value: object, cell: object) -> None:
    assert csv_cell(value) == cell
