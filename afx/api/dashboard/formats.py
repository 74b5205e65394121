"""Values as people read them on a page."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup, escape

from afx.errors import printable

_UNTOLD = ("kind", "at", "incarnation")
_SHAPES = ((1024**4, "TiB"), (1024**3, "GiB"), (1024**2, "MiB"), (1024, "KiB"))


def instant(value: datetime | float | None) -> Markup:
    """Return an instant as an element that scripts make relative; absolute without them."""
    if value is None:
        return Markup('<span class="none">never</span>')
    at = value if isinstance(value, datetime) else datetime.fromtimestamp(value, UTC)
    text = at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
    return Markup('<time datetime="{}" title="{} UTC">{}</time>').format(at.isoformat(), text, text)


def size(value: float) -> str:
    """Return a number of bytes with its unit."""
    for bound, unit in _SHAPES:
        if value >= bound:
            amount = value / bound
            return f"{amount:.1f} {unit}" if amount < 10 else f"{amount:.0f} {unit}"
    return f"{value:.0f} B"


def number(value: float) -> str:
    """Return a number with its thousands apart."""
    return f"{value:,.0f}" if float(value).is_integer() or value >= 100 else f"{value:,.1f}"


def percent(value: float) -> int:
    """Return a share as whole per cent."""
    return round(max(0.0, min(1.0, value)) * 100)


def duration(value: float | None) -> str:
    """Return a time in seconds with its unit."""
    if value is None:
        return "–"
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:,.1f} s"


def fields(value: Any) -> Markup:
    """Return nested fields, such as an audit entry's details, in one line."""
    if isinstance(value, Mapping):
        parts = [
            Markup('<span class="muted">{}</span> {}').format(
                str(name).replace("_", " "), fields(it)
            )
            for name, it in value.items()
        ]
        return Markup(", ").join(parts)
    if isinstance(value, list | tuple) and value:
        return Markup(", ").join(fields(it) for it in value)
    if isinstance(value, float):
        return escape(number(value) if abs(value) >= 10 else f"{value:.3g}")
    return escape("none" if value in (None, "", [], ()) else str(value))


def event_text(event: Mapping[str, Any]) -> str:
    """Return what an event says beside its kind and time, such as "node w1, sessions 3"."""
    parts = (
        f"{str(name).replace('_', ' ')} {it}"
        for name, it in event.items()
        if name not in _UNTOLD and not isinstance(it, Mapping | list)
    )
    return printable(", ".join(parts), longest=200)
