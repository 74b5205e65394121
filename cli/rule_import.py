"""afx rule import: rules of another forwarder's configuration."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import complete, output
from cli.rule_content import read_file
from cli.shared import Invocation, shared

if TYPE_CHECKING:
    from afx.operations.rule_imports import Note

_PLACEHOLDER = "main"
_MOST_SHOWN = 100


@shared("database_url", "json", change=True)
def import_(
    invocation: Invocation,
    file: Annotated[
        Path, typer.Argument(help="tgcf.config.json, mirror.config.yml or .env; - is stdin.")
    ],
    origin: Annotated[
        str,
        typer.Option("--from", help="tgcf or telemirror [default: as the file looks]."),
    ] = "",
    session: Annotated[
        str,
        typer.Option("--session", help="Whose rules they are.", autocompletion=complete.sessions),
    ] = "",
    apply: Annotated[
        bool, typer.Option("--apply", help="Make them rules now, instead of printing a rule file.")
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="With --apply: also give rules other chats.")
    ] = False,
) -> None:
    """Make rules of what tgcf or telemirror had: prints a rule file, or applies it.

    What cannot be carried over is told, with what to do instead; a rule that would
    forward other messages without it is written as disabled. Exit code 4: a chat or a
    rule was left out. docs/from-other-forwarders.md says which option is called what.

    Example:  afx rule import tgcf.config.json --session main > rules.yaml
    """
    from afx.errors import UsageError
    from afx.operations import rule_imports

    if origin and origin not in rule_imports.ORIGINS:
        raise UsageError(f"--from takes {' or '.join(rule_imports.ORIGINS)}.")
    if apply and not session:
        raise UsageError("Give --session: the session that is to forward.")
    where = "standard input" if str(file) == "-" else str(file)
    imported = rule_imports.read(
        read_file(file, rule_imports.LARGEST_BYTES),
        where,
        session or _PLACEHOLDER,
        next((it for it in rule_imports.ORIGINS if it == origin), None),
    )
    text = rule_imports.rule_file(imported)
    if not invocation.json:
        _tell(imported.notes)
    if apply:
        _apply(invocation, text, where, imported, replace=replace)
    elif invocation.json:
        output.print_json(_fields(imported))
    else:
        print(text, end="")
        if not session:
            typer.echo(f"note: give --session; the file says '{_PLACEHOLDER}'", err=True)
    if any(it.effect is rule_imports.Effect.LEFT_OUT for it in imported.notes):
        raise typer.Exit(4)


def _apply(invocation: Invocation, text: str, where: str, imported: Any, *, replace: bool) -> None:
    from afx.operations import rule_files, rule_imports
    from cli.rule_diff import print_changes

    changes = rule_files.plan(invocation.context, text.encode(), where, prune=False)
    if not replace:
        rule_imports.check_replaced(changes)
    if changes:
        rule_files.apply(invocation.context, changes, where)
    if invocation.json:
        fields = [{"kind": it.kind, "path": it.path} for it in changes]
        output.print_json({**_fields(imported), "changes": fields})
    else:
        print_changes(invocation, changes)


def _fields(imported: Any) -> dict[str, Any]:
    return {"from": imported.origin, "rules": imported.rules, "notes": imported.notes}


def _tell(notes: tuple[Note, ...]) -> None:
    for it in notes[:_MOST_SHOWN]:
        place = ", ".join(filter(None, (it.field, f"line {it.line}" if it.line else "")))
        rule = f" (rule '{it.rule}')" if it.rule else ""
        typer.echo(f"note: {output.cell(f'{place}{rule}: {it.message}')}.", err=True)
    if len(notes) > _MOST_SHOWN:
        typer.echo(f"note: … and {len(notes) - _MOST_SHOWN} more; see --json.", err=True)
