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


def together(requested: Sequence[Requested]) -> Requested:
    """Return one for all processes of a node, for an answer that has room for one control.

    Its note names the controls of the others.
    """
    chosen = next((it for it in requested if it.control is not None), requested[0])
    others = [str(it.control) for it in requested if it.control not in (None, chosen.control)]
    if not others:
        return chosen
    word = "control" if len(others) == 1 else "controls"
    return replace(chosen, note=f"see also {word} {', '.join(others)}, of its other processes")
