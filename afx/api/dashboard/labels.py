"""Labels as a form has them."""

from __future__ import annotations

from afx.errors import UsageError


def labels_of(text: str) -> dict[str, str]:
    """Return labels that are written as KEY=VALUE; raises UsageError."""
    found = {}
    for it in text.split():
        key, mark, value = it.partition("=")
        if not mark or not key or not value:
            raise UsageError("Labels are KEY=VALUE, one a line; correct them.")
        found[key] = value
    return found
