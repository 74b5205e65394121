"""The figures of a verdict that reports print."""

from __future__ import annotations

from typing import Any

from afx.sandbox.judge.verdict import Verdict

_BESIDES = ("posted", "sent", "outdated", "undeleted", "strange")
"""Counts of all messages, promised or not, and of what no rule promises: a lab promises a
copy of each message, and neither edits nor deletes one."""


def figures(verdict: Verdict) -> dict[str, Any]:
    """Return the figures of the promised copies, as plain values."""
    return {name: value for name, value in verdict.to_json().items() if name not in _BESIDES}
