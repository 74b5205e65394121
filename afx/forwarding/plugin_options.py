"""The plug-ins that a rule names: which, with what settings, and what happens when one fails."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from afx.forwarding.forms import Choice, Duration, Many, Pairs, Table, Text, Whole, duration_text

LONGEST_TIMEOUT = 60
_MIB = 1024 * 1024
_MEMORY = 512 * _MIB
_MOST = 5
OnError = Literal["pass", "drop", "dead"]
_ON_ERROR: tuple[OnError, ...] = ("pass", "drop", "dead")


def _wrong(value: Mapping[str, Any]) -> str | None:
    """Return what is wrong with a plug-in as a whole."""
    if value.get("memory") and not value.get("files"):
        return "'memory' is the limit of a plug-in's own process: give 'files' too"
    return None


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
            "files": Whole(
                "It gets the files of messages, up to that size, in a process of its own, and may "
                "return other ones; 20 MiB. It is not called for messages without a file.",
                1,
                2_000 * _MIB,
                is_size=True,
            ),
            "memory": Whole(
                "The memory that its process may use; 512 MiB without it. With files only.",
                64 * _MIB,
                16_384 * _MIB,
                is_size=True,
            ),
        },
        required=("name",),
        whole=_wrong,
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
    files: int = 0
    """Bytes of the largest file that it gets; 0: it gets none, and runs in the node's process."""
    memory: int = _MEMORY
    """Bytes that its own process may use."""


_FIELDS = ("name", "settings", "timeout", "per_hour", "on_error", "files", "memory")


def compile_plugins(value: Sequence[Mapping[str, Any]]) -> tuple[Plugin, ...]:
    """Return plug-ins as a node uses them; raises ValueError for what it does not know."""
    found = []
    for it in value:
        unknown = set(it) - set(_FIELDS)
        if unknown or not isinstance(it.get("name"), str):
            raise ValueError("this node does not know a plug-in's fields")
        on_error = it.get("on_error", "pass")
        if on_error not in _ON_ERROR:
            raise ValueError(f"this node does not know what to do on_error: {on_error!r}")
        timeout, per_hour = it.get("timeout", 5), it.get("per_hour", 0)
        files, memory = it.get("files", 0), it.get("memory", _MEMORY)
        if any(type(number) is not int for number in (timeout, per_hour, files, memory)):
            raise ValueError("a plug-in's timeout, budget or limit is no number")
        settings = {str(key): str(text) for key, text in it.get("settings", {}).items()}
        limits = float(timeout), per_hour
        found.append(Plugin(it["name"], settings, *limits, on_error, files, memory))
    return tuple(found)


def plugin_sentences(value: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return plug-ins in words."""
    ends = {"pass": "sent without it", "drop": "not sent", "dead": "a dead letter"}
    return [
        f"The plug-in {it['name']} changes {_what(it)} ({json.dumps(it.get('settings', {}))}); "
        f"what it has no answer for in {duration_text(it.get('timeout', 5))} is "
        f"{ends[it.get('on_error', 'pass')]}."
        for it in value
    ]


def _what(value: Mapping[str, Any]) -> str:
    if not (files := value.get("files")):
        return "each copy"
    size = f"{files // _MIB:,} MiB" if files % _MIB == 0 else f"{files:,} bytes"
    memory = value.get("memory", _MEMORY) // _MIB
    return f"each copy with a file of at most {size}, in a process with {memory:,} MiB"
