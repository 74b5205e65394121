"""What a change of rules looks like."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.rule_content import route, warn
from cli.shared import Invocation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from afx.operations.rule_files import Change


def print_changes(invocation: Invocation, changes: Sequence[Change]) -> None:
    """Print what became of rules: each difference, what is odd about it, and how many."""
    print_diff(changes)
    warn(invocation, [it.path for it in changes if it.kind != "remove"], changes)
    say_counts(invocation, changes)


def print_diff(changes: Sequence[Change]) -> None:
    """Print each difference."""
    for it in changes:
        print("\n".join(_lines(it)))


def say_counts(invocation: Invocation, changes: Sequence[Change]) -> None:
    """Print how many rules were added, changed and removed."""
    words = {"add": "added", "change": "changed", "remove": "removed"}
    counts = [f"{sum(it.kind == kind for it in changes)} {word}" for kind, word in words.items()]
    invocation.say(", ".join(counts) if changes else "the rules are those of the file already")


def _lines(it: Change) -> list[str]:
    """Return a change as a diff shows it."""
    if it.kind == "add" and it.after:
        return [f"+ {it.path}  {route(it.after)}"]
    if it.kind == "remove" and it.before:
        return [f"- {it.path}  {route(it.before)}"]
    assert it.before is not None and it.after is not None
    return [f"~ {it.path}", f"  - {route(it.before)}", f"  + {route(it.after)}"]
