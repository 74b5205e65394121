"""What a request for a control returns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace


@dataclass(slots=True, frozen=True)
class Requested:
    """What came of a request: a control to wait for, unless nothing had to be done."""

    target: str
    control: int | None
    note: str = ""
    others: tuple[int, ...] = ()
    """The controls of the other processes of a node."""


def together(requested: Sequence[Requested]) -> Requested:
    """Return one for all processes of a node; its note names the controls of the others."""
    chosen = next((it for it in requested if it.control is not None), requested[0])
    others = [it.control for it in requested if it.control is not None]
    others = [it for it in others if it != chosen.control]
    if not others:
        return chosen
    word = "control" if len(others) == 1 else "controls"
    named = ", ".join(map(str, others))
    return replace(
        chosen, note=f"see also {word} {named}, of its other processes", others=tuple(others)
    )
