"""Printing how far requested controls are, until they are done."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import typer

from cli import output

if TYPE_CHECKING:
    from afx.operations.context import Context
    from afx.operations.requests import Requested
    from afx.operations.waiting import Progress

_INTERRUPTED = 130


def finish(
    context: Context,
    rounds: Iterable[Sequence[Requested]],
    what: str,
    *,
    timeout: float | None,
    as_json: bool,
) -> None:
    """Print what became of requests; waits for their controls unless ``timeout`` is None.

    Each of the ``rounds`` is requested and finished before the next one; one that does
    not succeed is the last. ``what`` is the verb that was requested ("drain"),
    ``timeout`` of a round in seconds. Exits 1 when all failed, 3 when there is no
    leader, 4 when some are not done.
    """
    results: list[Progress] = []
    for requested in rounds:
        latest = _wait(context, requested, what, timeout)
        results += latest
        if not as_json:
            _print(latest, what, dry_run=context.dry_run)
        if any(it.state != "done" for it in latest):
            break
    if as_json:
        output.print_json([_fields(it, dry_run=context.dry_run) for it in results])
    _exit(results, context, timeout)


def _wait(
    context: Context, requested: Sequence[Requested], what: str, timeout: float | None
) -> Sequence[Progress]:
    """Return how far requests are when all are finished, or when the time is up."""
    from afx.operations import waiting

    results: tuple[Progress, ...] = ()
    try:
        for results in waiting.watch(context, requested, timeout=timeout or 0.0):
            if not all(it.finished for it in results) and timeout is not None:
                output.progress(f"{what} {_unfinished(results)}")
    except KeyboardInterrupt:
        output.progress_end()
        print(f"\nafx: stopped waiting; {_goes_on(results)}", file=sys.stderr)
        raise typer.Exit(_INTERRUPTED) from None
    output.progress_end()
    return results


def _print(results: Sequence[Progress], what: str, *, dry_run: bool) -> None:
    for it in results:
        note = f" ({it.note})" if it.note else ""
        control = f", control {it.control}" if it.control is not None else ""
        state = "dry run" if dry_run else it.state
        print(f"{what} {it.target}: {state}{note}{control}")


def _fields(it: Progress, *, dry_run: bool) -> dict[str, Any]:
    control = {} if it.control is None else {"control": it.control}
    dry = {"dry_run": True} if dry_run else {}
    return {"target": it.target, **control, "state": it.state, "note": it.note, **dry}


def _exit(results: Sequence[Progress], context: Context, timeout: float | None) -> None:
    from afx.operations.waiting import leader_known

    if timeout is not None and not all(it.finished for it in results):
        if leader_known(context):
            print(
                f"afx: not finished within {timeout:g} s; {_goes_on(results)}",
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
