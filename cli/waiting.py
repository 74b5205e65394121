"""Printing how far requested controls are, until they are done."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer

from cli import output

if TYPE_CHECKING:
    from afx.operations.requests import Requested
    from afx.operations.waiting import Progress
    from cli.shared import Invocation

_INTERRUPTED = 130


def finish(invocation: Invocation, requested: Sequence[Requested], what: str) -> None:
    """Print what became of requests; waits for their controls unless --no-wait is given.

    ``what`` is the verb that was requested ("drain"). Exits 1 when all failed, 3 when
    there is no leader, 4 when some are not done.
    """
    from afx.operations import waiting

    timeout = invocation.timeout if invocation.wait else 0.0
    results: tuple[Progress, ...] = ()
    try:
        for results in waiting.watch(invocation.context, requested, timeout=timeout):
            if not all(it.finished for it in results) and invocation.wait:
                output.progress(f"{what} {_unfinished(results)}")
    except KeyboardInterrupt:
        output.progress_end()
        print(f"\nafx: stopped waiting; {_goes_on(results)}", file=sys.stderr)
        raise typer.Exit(_INTERRUPTED) from None
    output.progress_end()
    _print(results, what, invocation)
    _exit(results, invocation)


def _print(results: Sequence[Progress], what: str, invocation: Invocation) -> None:
    if invocation.json:
        output.print_json([_fields(it, dry_run=invocation.dry_run) for it in results])
        return
    for it in results:
        note = f" ({it.note})" if it.note else ""
        control = f", control {it.control}" if it.control is not None else ""
        state = "dry run" if invocation.dry_run else it.state
        print(f"{what} {it.target}: {state}{note}{control}")


def _fields(it: Progress, *, dry_run: bool) -> dict[str, Any]:
    control = {} if it.control is None else {"control": it.control}
    dry = {"dry_run": True} if dry_run else {}
    return {"target": it.target, **control, "state": it.state, "note": it.note, **dry}


def _exit(results: Sequence[Progress], invocation: Invocation) -> None:
    from afx.operations.waiting import leader_known

    if invocation.wait and not all(it.finished for it in results):
        if leader_known(invocation.context):
            print(
                f"afx: not finished within {invocation.timeout:g} s; {_goes_on(results)}",
                file=sys.stderr,
            )
            raise typer.Exit(4)
        print(
            f"afx: No coordinator leads, so {_controls(results)} will be carried out when one "
            "does ('afx coordinator start').",
            file=sys.stderr,
        )
        raise typer.Exit(3)
    bad = [it for it in results if it.state in ("failed", "cancelled")]
    if bad:
        raise typer.Exit(1 if len(bad) == len(results) else 4)


def _unfinished(results: Sequence[Progress]) -> str:
    return ", ".join(f"{it.target}: {it.note or it.state}" for it in results if not it.finished)


def _goes_on(results: Sequence[Progress]) -> str:
    """Return which controls go on without this command, and how to cancel them."""
    ids = _open_ids(results)
    if not ids:
        return "nothing is under way."
    verb = "goes" if len(ids) == 1 else "go"
    return (
        f"{_controls(results)} {verb} on: see 'afx control show {ids[0]}', "
        f"cancel with 'afx control cancel {ids[0]}'."
    )


def _controls(results: Sequence[Progress]) -> str:
    ids = _open_ids(results)
    noun = "control" if len(ids) == 1 else "controls"
    return f"{noun} {', '.join(str(it) for it in ids)}"


def _open_ids(results: Sequence[Progress]) -> list[int]:
    return [it.control for it in results if it.control is not None and not it.finished]
