"""Waiting for controls: the coordinator takes them up, the nodes acknowledge."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import output

if TYPE_CHECKING:
    from afx.config import Settings
    from afx.operations.sessions import Requested

Wait = Annotated[
    bool, typer.Option("--wait/--no-wait", help="Wait until the nodes have acknowledged it.")
]
Timeout = Annotated[float, typer.Option("--timeout", min=0.1, help="How long to wait, in seconds.")]
_LOOK_SECONDS = 0.1
_FINISHED = ("done", "failed", "cancelled")


def finish(
    requested: Sequence[Requested],
    what: str,
    *,
    held: Settings,
    wait: bool,
    timeout: float,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Tell what became of requests; waits for their acknowledgement.

    ``what`` says in a word what was asked for ("drain"). Exits 1 when all
    failed, 3 when no coordinator leads, 4 when some are not done.
    """
    from models.storage import controls

    results: dict[str, dict[str, Any]] = {}
    waiting: dict[int, str] = {}
    for it in requested:
        if it.control is None or dry_run:
            note = it.note or "would be requested"
            results[it.target] = {"target": it.target, "state": "done", "note": note}
        else:
            waiting[it.control] = it.target
    until = time.monotonic() + timeout
    while waiting:
        for number, target in list(waiting.items()):
            control = controls.get(number)
            results[target] = {
                "target": target,
                "control": number,
                "state": control["state"],
                "note": control["note"],
            }
            if control["state"] in _FINISHED:
                del waiting[number]
        if not wait or not waiting or time.monotonic() > until:
            break
        told = ", ".join(
            f"{it['target']}: {it['note'] or it['state']}"
            for it in results.values()
            if it["state"] not in _FINISHED
        )
        output.progress(f"{what} {told}")
        time.sleep(_LOOK_SECONDS)
    output.progress_end()
    _tell(list(results.values()), what, as_json=as_json, dry_run=dry_run)
    _exit(results, bool(waiting) and wait, held)


def _tell(results: list[dict[str, Any]], what: str, *, as_json: bool, dry_run: bool) -> None:
    if as_json:
        output.print_json([{**it, "dry_run": True} if dry_run else it for it in results])
        return
    for it in results:
        note = f" ({it['note']})" if it["note"] else ""
        number = f", control {it['control']}" if "control" in it else ""
        state = "dry run" if dry_run else it["state"]
        print(f"{what} {it['target']}: {state}{note}{number}")


def _exit(results: dict[str, dict[str, Any]], timed_out: bool, held: Settings) -> None:
    bad = [it for it in results.values() if it["state"] in ("failed", "cancelled")]
    if timed_out:
        print(f"afx: {_why_late(held)}", file=sys.stderr)
        raise typer.Exit(4 if _leads(held) else 3)
    if bad:
        raise typer.Exit(1 if len(bad) == len(results) else 4)


def _why_late(held: Settings) -> str:
    if not _leads(held):
        return (
            "No coordinator leads, so nobody has taken it up; it is kept and will be done when "
            "one does ('afx coordinator start')."
        )
    return "It was not acknowledged in time and goes on; 'afx control list' shows how far it is."


def _leads(held: Settings) -> bool:
    import redis

    from afx.cluster import keys
    from afx.errors import AfxError
    from cli import common

    try:
        with common.redis_client(held) as client:
            return bool(client.exists(keys.LEADER))
    except (AfxError, redis.RedisError):
        return False
