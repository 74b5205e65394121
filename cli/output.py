"""Printing: tables for people, JSON for programs, long lists by pages."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, is_dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from afx.operations.pages import Page

Limit = Annotated[
    int, typer.Option("--limit", "-n", min=1, max=10_000, help="Rows to show at most.")
]
After = Annotated[
    str | None, typer.Option("--after", help="Begin after this key (see the hint below a list).")
]
Everything = Annotated[bool, typer.Option("--all", "-a", help="Show all rows, however many.")]
Watch = Annotated[bool, typer.Option("--watch", "-w", help="Show it again every 2 seconds.")]
_PAGE = 1_000
_WATCH_SECONDS = 2.0


def print_json(value: Any) -> None:
    """Print one JSON value on standard output."""
    print(_dumps(value), flush=True)


def print_list(
    fetch: Callable[[Any, int], Page[Any]],
    columns: Sequence[str],
    cells: Callable[[Any], Sequence[Any]],
    *,
    as_json: bool,
    limit: int,
    after: Any,
    everything: bool,
    empty: str,
) -> None:
    """Print a list: one page of it, or all of it in constant memory.

    ``fetch`` takes (after, limit). If there is more, a hint goes to stderr.
    """
    page = fetch(after, _PAGE if everything else limit)
    if as_json:
        print("[", end="")
        between = ""
        while True:
            for row in page.rows:
                print(f"{between}{_dumps(row)}", end="")
                between = ",\n "
            if not everything or page.next is None:
                break
            page = fetch(page.next, _PAGE)
        print("]")
    else:
        print_table(columns, (cells(it) for it in page.rows), empty=empty)
        while everything and page.next is not None:
            page = fetch(page.next, _PAGE)
            print_table(columns, (cells(it) for it in page.rows), empty="", header=False)
    if page.next is not None and not everything:
        print(f"there is more: --after {page.next!s}, or --all", file=sys.stderr)


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[Any]], *, empty: str, header: bool = True
) -> None:
    """Print a table for people; ``empty`` is said when there is no row."""
    held = [[cell(value) for value in row] for row in rows]
    if not held:
        if empty:
            print(empty, file=sys.stderr)
        return
    from rich.cells import cell_len, set_cell_size

    wide = [
        max([cell_len(row[i]) for row in held] + [len(column) if header else 0])
        for i, column in enumerate(columns)
    ]
    if sys.stdout.isatty():
        import shutil

        _squeeze(wide, columns, shutil.get_terminal_size().columns - 2 * (len(columns) - 1))
    lines = [list(columns), *held] if header else held
    for row in lines:
        fitted = [
            set_cell_size(text, width)
            if cell_len(text) <= width
            else set_cell_size(text, width - 1) + "…"
            for text, width in zip(row, wide, strict=True)
        ]
        print("  ".join(fitted).rstrip())


def print_fields(fields: dict[str, Any], *, as_json: bool) -> None:
    """Print one thing: its fields below each other, or as one JSON object."""
    if as_json:
        print_json(fields)
        return
    wide = max(len(name) for name in fields)
    for name, value in fields.items():
        print(f"{name.replace('_', ' '):<{wide}}  {cell(value)}")


def repeat(draw: Callable[[], None], watch: bool) -> None:
    """Draw once, or again and again until Ctrl-C."""
    if not watch:
        draw()
        return
    while True:
        if sys.stdout.isatty():
            print("\033[H\033[2J", end="")
        draw()
        sys.stdout.flush()
        time.sleep(_WATCH_SECONDS)


def progress(text: str) -> None:
    """Show on stderr how far long work is: one line that changes, on a terminal."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def progress_end() -> None:
    """Clear the line of ``progress``."""
    progress("")


def cell(value: Any) -> str:
    """Return a value as people read it in a table."""
    if value is None or value in ("", [], {}):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, list | tuple):
        return ", ".join(cell(it) for it in value)
    if isinstance(value, dict):
        return ", ".join(f"{name}={cell(it)}" for name, it in value.items())
    # A name may hold anything: what moves a terminal's cursor is not printed.
    text = str(value)
    return text if text.isprintable() else "".join(it if it.isprintable() else "�" for it in text)


def plain(value: Any) -> Any:
    """Return a value as programs read it; a dataclass as an object."""
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    return value.isoformat() if isinstance(value, datetime) else str(value)


def mib(count: float) -> str:
    """Return a number of bytes in MiB, for people."""
    return f"{count / 1024 / 1024:.0f} MiB"


def _squeeze(wide: list[int], columns: Sequence[str], room: int) -> None:
    """Make the widest columns narrower until a row fits the terminal."""
    while sum(wide) > room:
        widest = max(range(len(wide)), key=wide.__getitem__)
        if wide[widest] <= max(8, len(columns[widest])):
            return
        wide[widest] -= 1


def json_line(value: Any) -> str:
    """Return a value as one line of JSON."""
    return _dumps(value) + "\n"


def _dumps(value: Any) -> str:
    return json.dumps(value, default=plain, ensure_ascii=False)
