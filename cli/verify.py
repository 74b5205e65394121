"""afx verify."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import common, output
from cli.shared import Invocation, shared

if TYPE_CHECKING:
    from afx.app import Result

_COLOURS = {"passed": "32", "partly": "33", "not available": "33", "failed": "31"}


@shared("redis_url", "database_url", "json")
def verify(
    invocation: Invocation,
    full: Annotated[
        bool, typer.Option("--full", help="On a new cluster of its own, with nodes killed.")
    ] = False,
    url: Annotated[
        str, typer.Option("--url", help="The API's address [default: as the settings say].")
    ] = "",
    timeout: Annotated[
        float, typer.Option("--timeout", min=1, help="The longest wait of a test, in seconds.")
    ] = 30.0,
) -> None:
    """Run the nine verification tests, and say what each measured.

    They do not harm the cluster: they read, submit tasks that do nothing, and on a private
    sandbox add a session of their own and remove it. What would harm is left out and
    named; --full does it on a cluster that is made for it. Exits 1 when a test has failed.

    Example:  afx verify --json
    """
    from afx import app

    results: list[Result] = []
    if full:
        home = Path(tempfile.mkdtemp(prefix="afx-verify-"))
        try:
            found = app.run_full_verify(home, show=lambda line: print(line, file=sys.stderr))
            results = _printed(found, as_json=invocation.json)
        finally:
            shutil.rmtree(home, ignore_errors=True)
    else:
        found = app.run_verify(
            invocation.open(), common.actor(), web_url=url, timeout_seconds=timeout
        )
        results = _printed(found, as_json=invocation.json)
    if invocation.json:
        output.print_json([asdict(it) for it in results])
    if any(it.outcome == "failed" for it in results):
        raise typer.Exit(1)


def _printed(found: Iterator[Result], *, as_json: bool) -> list[Result]:
    """Return the results; for people each is printed as soon as it is there."""
    results = []
    for it in found:
        results.append(it)
        if as_json:
            continue
        outcome = f"{it.outcome:<13}"
        if sys.stdout.isatty():
            outcome = f"\033[{_COLOURS[it.outcome]}m{outcome}\033[0m"
        print(f"{it.number}  {outcome}  {it.title}  ({it.seconds:.1f} s)")
        for mark, texts in (
            ("", it.measured),
            ("NOT TRUE: ", it.problems),
            ("not done: ", it.not_done),
            ("missing: ", it.missing),
        ):
            for text in texts:
                print(f"   {mark}{text}", flush=True)
    return results
