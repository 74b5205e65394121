"""``afx session import`` of a list: progress, bad lines, a file of results."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cli import output

if TYPE_CHECKING:
    from afx.operations.imports import Outcome
    from cli.shared import Invocation

_LINES_SHOWN = 20
_STATUSES = ("added", "present", "bad")


def import_list(
    invocation: Invocation, path: Path, user: str, result: Path | None, *, alone: bool
) -> None:
    """Import a list and print what became of it; exits 4 when some lines are bad.

    ``alone``: neither a name nor a login was given beside it.
    """
    from afx.errors import UsageError
    from afx.operations import imports

    if not alone:
        raise UsageError("A list of sessions has the names and logins itself; give it alone.")
    done = 0
    bad: list[Outcome] = []
    with result.open("w") if result else nullcontext() as file:

        def note(outcomes: list[Outcome]) -> None:
            nonlocal done
            done += len(outcomes)
            bad.extend(it for it in outcomes if it.status == "bad")
            if file:
                file.writelines(output.json_line(asdict(it)) for it in outcomes)
                file.flush()
            output.progress(f"{done} lines, {len(bad)} bad")

        counts = imports.run(invocation.context, path, user=user, on_batch=note)
    output.progress_end()
    for it in bad[:_LINES_SHOWN]:
        print(f"{path}, line {it.line}: {it.reason}", file=sys.stderr)
    if len(bad) > _LINES_SHOWN:
        print(
            f"… and {len(bad) - _LINES_SHOWN} more bad lines; --result FILE lists them",
            file=sys.stderr,
        )
    total = {status: counts[status] for status in _STATUSES}
    if invocation.json:
        output.print_json(total | ({"dry_run": True} if invocation.dry_run else {}))
    else:
        invocation.say(
            f"{total['added']} sessions added, {total['present']} existed already, "
            f"{total['bad']} lines are bad"
        )
    if total["bad"]:
        raise typer.Exit(4 if total["added"] or total["present"] else 1)
