"""Cells of CSV files that a spreadsheet reads as text, whatever is in them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

_FORMULAS = ("=", "+", "-", "@", "＝", "＋", "－", "＠", "\t", "\r", "\n")
"""How a formula begins (OWASP, "CSV Injection")."""


def csv_cell(value: Any) -> Any:
    """Return a value for a CSV file; a text that could be a formula begins with a quote."""
    if value is None:
        return ""
    if isinstance(value, int | float):
        return value
    text = value.isoformat() if isinstance(value, datetime) else str(value)
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULAS) else text
