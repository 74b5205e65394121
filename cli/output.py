"""Printing: tables for people, JSON for programs, long lists by pages."""

from __future__ import annotations

import dataclasses
import json
import shlex
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from afx.errors import printable

if TYPE_CHECKING:
    from afx.operations.pages import Page

Limit = Annotated[
    int | None,
    typer.Option(
        "--limit",
        "-n",
        min=0,
        max=10_000,
        help="Rows to show at most; 0: all [default: 100; all with --json].",
        show_default=False,
    ),
]
After = Annotated[
    str | None, typer.Option("--after", help="Begin after this key (see the hint below a list).")
]
Everything = Annotated[bool, typer.Option("--all", "-a", help="Show all rows, however many.")]
Watch = Annotated[bool, typer.Option("--watch", "-w", help="Show it again every 2 seconds.")]
_FOR_PEOPLE = 100
_AT_ONCE = 1_000
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
    limit: int | None,
    after: Any,
    everything: bool,
    empty: str,
) -> None:
    """Print a list: some rows of it, or all of them in constant memory.

    ``fetch`` takes (after, limit). Without a limit, people get the first 100 rows
    and a hint on stderr when there are more; programs get all. ``empty`` is said
    when there is no row; ``no`` makes it.
    """
    if limit is None:
        limit = 0 if as_json else _FOR_PEOPLE
    everything = everything or limit == 0
    page = fetch(after, _AT_ONCE if everything else limit)
    pages = _all_pages(page, fetch) if everything else iter((page,))
    if as_json:
        _print_array(row for it in pages for row in it.rows)
    else:
        empty = empty if after is None else f"There is nothing after {cell(after)}."
        for it in pages:
            first = it is page
            print_table(
                columns, (cells(row) for row in it.rows), empty=empty if first else "", header=first
            )
    if page.next is not None and not everything:
        key = shlex.quote(str(page.next))
        print(f"there is more: --after {key}, or --all", file=sys.stderr)


def no(things: str, *, filtered: bool, hint: str = "") -> str:
    """Return what an empty list says: "No sessions match.", or that there is none at all."""
    if filtered:
        return f"No {things} match."
    return f"There are no {things} yet{f'; {hint}' if hint else ''}."


def to_plain(row: Any) -> Any:
    """Return a row as JSON writes it: a dataclass becomes an object."""
    return dataclasses.asdict(row) if dataclasses.is_dataclass(row) else row  # type: ignore[arg-type]


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[Any]], *, empty: str, header: bool = True
) -> None:
    """Print a table for people; ``empty`` is said on stderr when there is no row."""
    texts = [[cell(value) for value in row] for row in rows]
    if not texts:
        if empty:
            print(empty, file=sys.stderr)
        return
    from rich.cells import cell_len, set_cell_size

    wide = [
        max([cell_len(row[i]) for row in texts] + [len(column) if header else 0])
        for i, column in enumerate(columns)
    ]
    if sys.stdout.isatty():
        import shutil

        _squeeze(wide, columns, shutil.get_terminal_size().columns - 2 * (len(columns) - 1))
    lines = [list(columns), *texts] if header else texts
    for row in lines:
        fitted = [
            set_cell_size(text, width)
            if cell_len(text) <= width
            else set_cell_size(text, width - 1) + "…"
            for text, width in zip(row, wide, strict=True)
        ]
        print("  ".join(fitted).rstrip())


def print_fields(fields: dict[str, Any], *, as_json: bool) -> None:
    """Print one thing: its fields below each other, or as one JSON object.

    For people a field that has fields itself is spread over lines of its own.
    """
    if as_json:
        print_json(fields)
        return
    fields = flattened(fields)
    wide = max(len(name) for name in fields)
    for name, value in fields.items():
        print(f"{name:<{wide}}  {cell(value)}")


def flattened(fields: dict[str, Any]) -> dict[str, Any]:
    """Return fields without nesting: ``{"latency": {"p50": 1}}`` becomes ``latency p50``."""
    found: dict[str, Any] = {}
    for name, value in fields.items():
        label = _label(str(name))
        if isinstance(value, dict) and value:
            found.update({f"{label} {key}": it for key, it in flattened(value).items()})
        else:
            found[label] = value
    return found


def _label(name: str) -> str:
    """Return a field's name in words; what is data, such as a chat's name, stays as it is."""
    if name.isascii() and name.isidentifier() and name.islower():
        return name.replace("_", " ")
    return printable(name, longest=None)


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
    """Show the progress of long work: one line that changes, when stderr is a terminal."""
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
    # A name may contain anything: what moves a terminal's cursor is not printed.
    text = str(value)
    return printable(text, longest=None)


def plain(value: Any) -> Any:
    """Return a value as programs read it; a dataclass as an object."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
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


def _all_pages(page: Page[Any], fetch: Callable[[Any, int], Page[Any]]) -> Iterator[Page[Any]]:
    yield page
    while page.next is not None:
        page = fetch(page.next, _AT_ONCE)
        yield page


def _print_array(rows: Iterable[Any]) -> None:
    """Print one JSON array, row by row."""
    print("[", end="")
    between = ""
    for row in rows:
        print(f"{between}{_dumps(to_plain(row))}", end="")
        between = ",\n "
    print("]")


def _dumps(value: Any) -> str:
    # Escapes of JSON, where the encoding of the output has no other.
    ascii_only = sys.stdout.encoding.lower() not in ("utf-8", "utf8")
    return json.dumps(value, default=plain, ensure_ascii=ascii_only)
