"""The plug-ins that a rule names: which, with what settings, and what happens when one fails."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from afx.forwarding.forms import Choice, Duration, Many, Pairs, Table, Text, Whole, duration_text

LONGEST_TIMEOUT = 60
_MOST = 5
OnError = Literal["pass", "drop", "dead"]
_ON_ERROR: tuple[OnError, ...] = ("pass", "drop", "dead")

PLUGINS = Many(
    Table(
        "A plug-in that changes, or drops, copies: an entry point of the group afx.transforms.",
        {
            "name": Text("Its name.", 64),
            "settings": Pairs("Settings of the plug-in.", 2_000, 20),
            "timeout": Duration("How long it may take for a message; 5s.", 1, LONGEST_TIMEOUT),
            "per_hour": Whole("How often it is called in an hour of a process.", 1, 1_000_000),
            "on_error": Choice(
                "What becomes of a message that it has no answer for: pass sends it without it.",
                _ON_ERROR,
            ),
        },
        required=("name",),
    ),
    _MOST,
)


@dataclass(slots=True, frozen=True)
class Plugin:
    """One plug-in of a rule, as a node uses it."""

    name: str
    settings: Mapping[str, str] = field(default_factory=dict)
    timeout: float = 5.0
    """Seconds."""
    per_hour: int = 0
    """Calls in an hour of a process; 0: any number."""
    on_error: OnError = "pass"


def compile_plugins(value: Sequence[Mapping[str, Any]]) -> tuple[Plugin, ...]:
    """Return plug-ins as a node uses them; raises ValueError for what it does not know."""
    found = []
    for it in value:
        unknown = set(it) - {"name", "settings", "timeout", "per_hour", "on_error"}
        if unknown or not isinstance(it.get("name"), str):
            raise ValueError("this node does not know a plug-in's fields")
        on_error = it.get("on_error", "pass")
        if on_error not in _ON_ERROR:
            raise ValueError(f"this node does not know what to do on_error: {on_error!r}")
        timeout, per_hour = it.get("timeout", 5), it.get("per_hour", 0)
        if type(timeout) is not int or type(per_hour) is not int:
            raise ValueError("a plug-in's timeout or budget is no number")
        settings = {str(key): str(text) for key, text in it.get("settings", {}).items()}
        found.append(Plugin(it["name"], settings, float(timeout), per_hour, on_error))
    return tuple(found)


def plugin_sentences(value: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return plug-ins in words."""
    ends = {"pass": "sent without it", "drop": "not sent", "dead": "a dead letter"}
    return [
        f"The plug-in {it['name']} changes each copy ({json.dumps(it.get('settings', {}))}); what "
        f"it has no answer for in {duration_text(it.get('timeout', 5))} is "
        f"{ends[it.get('on_error', 'pass')]}."
        for it in value
    ]
