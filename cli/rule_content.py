"""afx rule set|edit|test|explain: what rules forward and change, looked at and changed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import complete, output
from cli.shared import Invocation, shared

if TYPE_CHECKING:
    from afx.operations.rule_trials import Tried

Which = Annotated[
    str, typer.Argument(help="An id, or SESSION/NAME.", autocompletion=complete.rules)
]


def add_to(app: typer.Typer) -> None:
    """Add the commands to ``afx rule``."""
    for name, command in (("set", set_), ("edit", edit), ("test", test), ("explain", explain)):
        app.command(name)(command)


@shared("database_url", change=True)
def set_(
    invocation: Invocation,
    rule: Which,
    source: Annotated[
        list[str] | None, typer.Option("--from", metavar="CHAT", help="The source chats instead.")
    ] = None,
    destination: Annotated[
        list[str] | None, typer.Option("--to", metavar="CHAT", help="The destinations instead.")
    ] = None,
    mode: Annotated[
        str | None,
        typer.Option("--mode", help="copy or forward.", autocompletion=complete.modes),
    ] = None,
    filter_: Annotated[
        str | None,
        typer.Option("--filter", help="The filter; empty takes all.", metavar="YAML"),
    ] = None,
    transform: Annotated[
        str | None,
        typer.Option("--transform", help="The transforms; empty changes nothing.", metavar="YAML"),
    ] = None,
    sync: Annotated[
        str | None,
        typer.Option("--sync", help="What is followed; empty follows nothing.", metavar="YAML"),
    ] = None,
    options: Annotated[
        str | None,
        typer.Option("--options", help="The options; empty has none.", metavar="YAML"),
    ] = None,
) -> None:
    """Change a rule; what is not given stays.

    Example:  afx rule set main/news --filter 'words: [bitcoin]' --transform ''
    """
    from afx.operations import rules

    doc, changed = rules.modify(
        invocation.context,
        rule,
        sources=source,
        destinations=destination,
        mode=mode,
        filter=read_part(filter_, "filter"),
        transform=read_part(transform, "transform"),
        sync=read_part(sync, "sync"),
        options=read_part(options, "options"),
    )
    invocation.say(f"rule {doc.path} is {'' if changed else 'already '}{route(doc)}")
    warn(invocation, [doc.path])


@shared("database_url", change=True)
def edit(invocation: Invocation, rule: Which) -> None:
    """Change a rule in an editor: that of VISUAL or EDITOR.

    Example:  afx rule edit main/news
    """
    from afx.errors import UsageError
    from afx.operations import rule_files

    before = rule_files.export_one(invocation.context, rule)
    text = edited(before)
    if text == before:
        invocation.say("nothing was changed")
        return
    path = rule_files.path_of(invocation.context, rule)
    changes = rule_files.plan(invocation.context, text.encode(), "the editor", prune=False)
    if any(it.path != path for it in changes):
        raise UsageError(f"Only {path} may be changed here; nothing was changed.")
    if changes:
        rule_files.apply(invocation.context, changes, "the editor")
    invocation.say(f"rule {path} is {'changed' if changes else 'as it was'}")
    warn(invocation, [path])


@shared("database_url", "json")
def test(
    invocation: Invocation,
    rule: Annotated[
        str,
        typer.Argument(help="A rule; without one, each rule.", autocompletion=complete.rules),
    ] = "",
    text: Annotated[str | None, typer.Option("--text", help="A text that is posted now.")] = None,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="A saved message, as JSON; - is stdin.")
    ] = None,
    session: Annotated[
        str | None,
        typer.Option("--session", help="Each rule of this.", autocompletion=complete.sessions),
    ] = None,
) -> None:
    """Show what rules would do with a message; nothing is sent.

    A saved message is a line of chat.export's file, or what Telethon writes.

    Example:  afx rule test main/news --text 'Bitcoin falls'
    """
    from afx.operations import rule_trials

    found = rule_trials.test(
        invocation.context,
        text=text,
        message=read_file(file, rule_trials.LARGEST_BYTES) if file else None,
        rule=rule,
        session=session,
    )
    if invocation.json:
        output.print_json(found)
        return
    for it in found:
        print("\n".join(lines(it)))
    if not found:
        print(output.no("rules", filtered=session is not None, hint="add one with 'afx rule add'"))


@shared("database_url", "json")
def explain(invocation: Invocation, rule: Which) -> None:
    """Say in words what a rule does, and what is odd about it.

    Example:  afx rule explain main/news
    """
    from afx.operations import rule_trials

    found = rule_trials.explain(invocation.context, rule)
    if invocation.json:
        output.print_json(found)
        return
    print(f"{found.rule}:")
    for it in (*found.sentences, *(f"Note: {it}." for it in found.warnings)):
        print(f"  {output.cell(it)}")


def edited(text: str) -> str:
    """Return a text as the person's editor leaves it; raises UsageError without an editor."""
    import os
    import shlex
    import subprocess
    import tempfile

    from afx.errors import UsageError

    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    with tempfile.TemporaryDirectory(prefix="afx-") as folder:
        path = Path(folder) / "rule.yaml"
        path.write_text(text, encoding="utf-8")
        try:
            done = subprocess.run([*shlex.split(editor), str(path)], check=False)
            if done.returncode == 0:
                return path.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise UsageError(
                f"The editor '{editor}' cannot be started; set EDITOR to one that can."
            ) from error
    raise UsageError(f"The editor '{editor}' has failed; nothing was changed.")


def lines(it: Tried) -> list[str]:
    """Return a trial as people read it: the verdict, the copy, each entity under it."""
    if it.problem:
        return [f"? {it.rule}: {it.problem}"]
    off = "" if it.enabled else " (disabled)"
    sign, word = ("✓", "forwards it") if it.forwards else ("✗", "does not forward it")
    found = [f"{sign} {it.rule}{off} {word}{f': {it.decided}' if it.decided else ''}"]
    if it.forwards:
        found += [f"    {output.cell(line)}" for line in it.text.splitlines()]
        found += [
            f"    ~ {each.kind} {each.offset}+{each.length} "
            f"{output.cell(each.text)}{f' → {output.cell(each.url)}' if each.url else ''}"
            for each in it.entities
        ]
        found += [
            f"    ▢ {output.cell(each.label)} → {output.cell(each.url)} (a bot sends it)"
            for each in it.buttons
        ]
    return found


def read_file(file: Path, most: int) -> bytes:
    """Return a file's content, or standard input's; one byte more than the most, if it has."""
    from afx.errors import UsageError

    if str(file) == "-":
        return sys.stdin.buffer.read(most + 1)
    try:
        with file.open("rb") as stream:
            return stream.read(most + 1)
    except OSError as error:
        raise UsageError(f"{file} cannot be read ({error.strerror}).") from error


def read_part(text: str | None, name: Any) -> Any:
    """Return a part of a rule from an option; None where it is not given."""
    from afx.operations import rule_files

    if text is None:
        return None
    return rule_files.read_part(text, f"--{name}", name) if text.strip() else {}


def route(doc: Any) -> str:
    """Return what a rule does, in a line."""
    off = "" if doc.enabled else ", disabled"
    made = f"{', '.join(doc.sources)} → {', '.join(doc.destinations)} ({doc.mode}{off})"
    if doc.filter:
        made += f" if {output.json_line(doc.filter).rstrip()}"
    if doc.transform:
        made += f" with {output.json_line(list(doc.transform)).rstrip()}"
    if doc.sync:
        made += f", following {', '.join(doc.sync)}"
    if doc.options:
        made += f", {output.json_line(dict(doc.options)).rstrip()}"
    return made


def warn(invocation: Invocation, paths: list[str], changes: Any = ()) -> None:
    """Print on standard error what is odd about rules."""
    from afx.operations import rule_trials

    for it in rule_trials.warnings(invocation.context, paths, changes):
        typer.echo(f"note: {it}", err=True)
