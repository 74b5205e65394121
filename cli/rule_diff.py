"""What a change of rules looks like."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from afx.errors import UsageError
from cli.rule_content import route, warn
from cli.shared import Invocation

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from afx.operations.rule_files import Change

_INTERRUPTED = 130
_ACCESS_SECONDS = 15.0
"""How long accounts are waited for that are asked."""


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


@contextmanager
def interruptible(what: str) -> Iterator[None]:
    """Let Ctrl-C end a command that changes rules with a sentence: what it has changed."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(f"\nafx: stopped; {what}.", err=True)
        raise typer.Exit(_INTERRUPTED) from None


def check_access(invocation: Invocation, changes: Sequence[Change]) -> None:
    """Ask accounts whether they can do what rules ask of them; raises UsageError if one cannot.

    What could not be asked is a note.
    """
    from afx.operations import rule_access

    access = rule_access.check(invocation.context, changes, timeout=_ACCESS_SECONDS)
    for it in access.unknown:
        typer.echo(f"note: {it}", err=True)
    if access.missing:
        raise UsageError(
            "Accounts cannot do what the rules ask of them; nothing was changed:\n"
            + "\n".join(f"  {it}" for it in access.missing)
            + "\nGive them the rights, or apply the file with --offline."
        )


def _lines(it: Change) -> list[str]:
    """Return a change as a diff shows it."""
    if it.kind == "add" and it.after:
        return [f"+ {it.path}  {route(it.after)}"]
    if it.kind == "remove" and it.before:
        return [f"- {it.path}  {route(it.before)}"]
    assert it.before is not None and it.after is not None
    return [f"~ {it.path}", f"  - {route(it.before)}", f"  + {route(it.after)}"]
