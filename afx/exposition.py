"""Metrics in Prometheus's text format.

Labels are nodes, queues, kinds, states and the like: never sessions, rules or chats.
Source: Prometheus's "Exposition formats", text format 0.0.4.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

MEDIA_TYPE = "text/plain; version=0.0.4"
Labels = tuple[tuple[str, str], ...]
"""Of one series: pairs of a name and a value."""


@dataclass(slots=True, frozen=True)
class Metric:
    """One metric with its series."""

    name: str
    kind: Literal["gauge", "counter"]
    text: str
    """What it means; empty: its name says so."""
    series: tuple[tuple[Labels, float], ...]


def single(name: str, kind: Literal["gauge", "counter"], text: str, value: float) -> Metric:
    """Return a metric of one series without labels."""
    return Metric(name, kind, text, (((), value),))


def by_label(
    name: str,
    kind: Literal["gauge", "counter"],
    text: str,
    label: str,
    values: Mapping[str, float],
    *others: tuple[str, str],
) -> Metric:
    """Return a metric with a series for each value of a label, beside others that all have."""
    series = (((*others, (label, it)), value) for it, value in sorted(values.items()))
    return Metric(name, kind, text, tuple(series))


def lines(metrics: Iterable[Metric]) -> Iterator[str]:
    """Yield metrics as lines; one without series has its type only."""
    for it in metrics:
        if it.text:
            yield f"# HELP {it.name} {it.text}"
        yield f"# TYPE {it.name} {it.kind}"
        for labels, value in it.series:
            shown = ",".join(f'{name}="{escaped(text)}"' for name, text in labels)
            yield f"{it.name}{{{shown}}} {value}" if shown else f"{it.name} {value}"


def escaped(text: str) -> str:
    """Return the value of a label as it is written between quotes."""
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
