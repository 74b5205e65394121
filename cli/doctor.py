"""afx doctor."""

from __future__ import annotations

import sys

import typer

from cli import common, output

_MARKS = {"ok": "ok  ", "warn": "WARN", "fail": "FAIL"}
_COLOURS = {"ok": "32", "warn": "33", "fail": "31"}


def doctor(
    redis_url: common.RedisUrl = None,
    database_url: common.DatabaseUrl = None,
    json: common.Json = False,
) -> None:
    """Check this installation: each finding with its remedy. Exits 1 on a failure.

    Example:  afx doctor
    """
    from dataclasses import asdict

    from afx.operations.doctor import examine

    settings = common.settings(redis_url=redis_url, database_url=database_url)
    found = []
    for it in examine(settings):
        found.append(it)
        if json:
            continue
        mark = _MARKS[it.grade]
        if sys.stdout.isatty():
            mark = f"\033[{_COLOURS[it.grade]}m{mark}\033[0m"
        print(f"{mark}  {it.area:<9} {it.what}", flush=True)
        if it.remedy:
            print(f"      {'':<9} → {it.remedy}")
    if json:
        output.print_json([asdict(it) for it in found])
    if any(it.grade == "fail" for it in found):
        raise typer.Exit(1)
