"""The option ``alerts``: webhooks are told of messages of a rule's sources, forwarded or not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from afx.forwarding.conditions import FILTER, Test, compile_filter, programs
from afx.forwarding.forms import Table, Whole
from afx.forwarding.trial import described

PER_HOUR = 20
"""Alerts of a rule in an hour, without a setting."""
_MOST = 1_000

ALERTS = Table(
    "Which messages of the sources webhooks are told of, whatever the filter says.",
    {
        "when": FILTER,
        "per_hour": Whole("Alerts in an hour; what is more is counted.", 1, _MOST),
    },
    required=("when",),
)


@dataclass(slots=True, frozen=True)
class Alert:
    """What a node tells of; equal by what it was made of."""

    test: Test = field(compare=False)
    per_hour: int
    when: str
    """The condition, as it is compared."""


def compile_alerts(value: Mapping[str, Any]) -> Alert:
    """Return the option as a node uses it; raises ValueError for what is none."""
    if not isinstance(value, Mapping) or not isinstance(value.get("when"), Mapping):
        raise ValueError("the option 'alerts' has no condition")
    per_hour = value.get("per_hour", PER_HOUR)
    if set(value) - {"when", "per_hour"} or type(per_hour) is not int or per_hour < 1:
        raise ValueError("the option 'alerts' has a field that this node does not know")
    return Alert(compile_filter(value["when"]).test, per_hour, repr(value["when"]))


def alert_programs(options: Mapping[str, Any]) -> int:
    """Return the instructions of the regular expressions of a rule's alerts."""
    alerts = options.get("alerts")
    return programs(alerts.get("when")) if isinstance(alerts, Mapping) else 0


def alert_sentences(value: Mapping[str, Any]) -> list[str]:
    """Return the option in words."""
    return [
        "Webhooks are told of messages of its sources, forwarded or not, "
        f"{value.get('per_hour', PER_HOUR)} in an hour at most, if all of this is true:",
        *described(value["when"], 1),
    ]
