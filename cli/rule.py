"""afx rule."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import common, complete, groups, output

if TYPE_CHECKING:
    from afx.forwarding.rulefile import Change, RuleDoc

app = groups.group("Rules: which chats are forwarded, and where to.")
Which = Annotated[
    str, typer.Argument(help="An id, or SESSION/NAME.", autocompletion=complete.rules)
]


@app.callback()
def group() -> None:
    """Rules: which chats are forwarded, and where to."""


@app.command()
def add(
    session: Annotated[str, typer.Argument(autocompletion=complete.sessions)],
    source: Annotated[list[str], typer.Option("--from", help="A source chat; may be repeated.")],
    destination: Annotated[list[str], typer.Option("--to", help="A destination; may be repeated.")],
    mode: Annotated[
        str,
        typer.Option(
            "--mode", help="copy (no author shown) or forward.", autocompletion=complete.modes
        ),
    ] = "copy",
    name: Annotated[str, typer.Option("--name", help="Its name [default: rule-N].")] = "",
    dry_run: common.DryRun = False,
    database_url: common.DatabaseUrl = None,
) -> None:
    """Add a rule to a session; chats are @names or ids (channels: -100…).

    A session that runs is started anew with it, and misses nothing.

    Example:  afx rule add main --from @news --to -1001234567890
    """
    with common.changing(database_url, dry_run=dry_run) as (_, who):
        from afx.operations import rules

        doc = rules.add(who, session, source, destination, mode, name)
    common.say(f"rule {doc.path} added: {_route(doc)}", dry_run=dry_run)


@app.command()
def apply(
    file: Annotated[Path, typer.Option("--file", "-f", help="YAML, TOML or JSON; - is stdin.")],
    prune: Annotated[
        bool,
        typer.Option("--prune", help="Remove rules of the file's sessions that it does not name."),
    ] = False,
    yes: common.Yes = False,
    dry_run: common.DryRun = False,
    database_url: common.DatabaseUrl = None,
    json: common.Json = False,
) -> None:
    """Make the rules those of a file; shows the differences first.

    Rules of the file are added or changed, others are left alone (--prune
    removes them). All or nothing: a mistake anywhere changes no rule.

    Example:  afx rule apply -f rules.yaml --dry-run
    """
    with common.changing(database_url, dry_run=dry_run) as (_, who):
        from afx.operations import rules

        where = "standard input" if str(file) == "-" else str(file)
        changes = rules.plan(_read(file), where, prune=prune)
        if json:
            output.print_json([_told(it) for it in changes])
        else:
            for it in changes:
                print("\n".join(_lines(it)))
        removed = sum(it.kind == "remove" for it in changes)
        if removed:
            common.confirm(f"{removed} rules will be removed. Go on?", yes or dry_run)
        if changes:
            rules.apply(who, changes, where)
    counts = {kind: sum(it.kind == kind for it in changes) for kind in ("add", "change", "remove")}
    sentence = (
        f"{counts['add']} added, {counts['change']} changed, {counts['remove']} removed"
        if changes
        else "the rules are those of the file already"
    )
    if not json:
        common.say(sentence, dry_run=dry_run)


@app.command("list")
def list_(
    session: Annotated[
        str | None,
        typer.Option("--session", help="Only of this one.", autocompletion=complete.sessions),
    ] = None,
    enabled: Annotated[
        bool | None, typer.Option("--enabled/--disabled", help="Only those.")
    ] = None,
    limit: output.Limit = None,
    after: Annotated[int | None, typer.Option("--after", help="Begin after this id.")] = None,
    everything: output.Everything = False,
    database_url: common.DatabaseUrl = None,
    json: common.Json = False,
) -> None:
    """List rules, by id.

    Example:  afx rule list --session main
    """
    with common.reading(database_url):
        from models.storage import rules, sessions

        owner = sessions.find(session) if session else None
        output.print_list(
            lambda begin, most: rules.listing(
                after=begin, limit=most, session=owner, enabled=enabled
            ),
            ("ID", "SESSION", "NAME", "FROM", "TO", "MODE", "ENABLED"),
            lambda it: (
                it["id"],
                it["session"],
                it["name"],
                it["sources"],
                it["destinations"],
                it["mode"],
                it["enabled"],
            ),
            as_json=json,
            limit=limit,
            after=after,
            everything=everything,
            empty=output.no(
                "rules",
                filtered=owner is not None or enabled is not None,
                hint="add one with 'afx rule add'",
            ),
        )


@app.command()
def show(rule: Which, database_url: common.DatabaseUrl = None, json: common.Json = False) -> None:
    """Show one rule.

    Example:  afx rule show main/news
    """
    with common.reading(database_url):
        from models.storage import rules

        held = rules.find(rule)
        fields = {
            "id": held.id,
            "name": held.name,
            "session": held.session.name,
            "sources": held.sources,
            "destinations": held.destinations,
            "mode": held.mode,
            "enabled": held.enabled,
            "created_at": held.created_at,
        }
    output.print_fields(fields, as_json=json)


@app.command()
def enable(
    rule: Which, dry_run: common.DryRun = False, database_url: common.DatabaseUrl = None
) -> None:
    """Let a rule forward again.

    Example:  afx rule enable main/news
    """
    _set_enabled(rule, True, dry_run, database_url)


@app.command()
def disable(
    rule: Which, dry_run: common.DryRun = False, database_url: common.DatabaseUrl = None
) -> None:
    """Let a rule forward nothing, without removing it.

    Example:  afx rule disable main/news
    """
    _set_enabled(rule, False, dry_run, database_url)


@app.command()
def remove(
    rule: Which,
    yes: common.Yes = False,
    dry_run: common.DryRun = False,
    database_url: common.DatabaseUrl = None,
) -> None:
    """Remove a rule.

    Example:  afx rule remove main/news --yes
    """
    with common.changing(database_url, dry_run=dry_run) as (_, who):
        from afx.operations import rules
        from models.storage.rules import find

        held = find(rule)
        common.confirm(f"Remove rule '{held.session.name}/{held.name}'?", yes or dry_run)
        path = rules.remove(who, rule)
    common.say(f"rule {path} removed", dry_run=dry_run)


@app.command()
def export(
    session: Annotated[
        str | None,
        typer.Option("--session", help="Only of this one.", autocompletion=complete.sessions),
    ] = None,
    database_url: common.DatabaseUrl = None,
) -> None:
    """Print rules as a file that 'afx rule apply' takes.

    Example:  afx rule export > rules.yaml
    """
    with common.reading(database_url):
        from afx.forwarding import rulefile
        from afx.operations import rules
        from models.storage import sessions

        owner = sessions.find(session) if session else None
        for text in rulefile.dump(rules.export(owner)):
            print(text, end="")


def _set_enabled(rule: str, enabled: bool, dry_run: bool, database_url: str | None) -> None:
    with common.changing(database_url, dry_run=dry_run) as (_, who):
        from afx.operations import rules

        path, changed = rules.set_enabled(who, rule, enabled)
    word = "enabled" if enabled else "disabled"
    common.say(f"rule {path} is {word}{'' if changed else ' already'}", dry_run=dry_run)


def _read(file: Path) -> bytes:
    from afx.errors import UsageError
    from afx.forwarding.rulefile import LARGEST_BYTES

    if str(file) == "-":
        return sys.stdin.buffer.read(LARGEST_BYTES + 1)
    try:
        with file.open("rb") as held:
            return held.read(LARGEST_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{file} cannot be read ({error.strerror}).") from error


def _route(doc: RuleDoc) -> str:
    off = "" if doc.enabled else ", disabled"
    return f"{', '.join(doc.sources)} → {', '.join(doc.destinations)} ({doc.mode}{off})"


def _lines(it: Change) -> list[str]:
    """Return a change as a diff shows it."""
    if it.kind == "add" and it.after:
        return [f"+ {it.path}  {_route(it.after)}"]
    if it.kind == "remove" and it.before:
        return [f"- {it.path}  {_route(it.before)}"]
    assert it.before is not None and it.after is not None
    return [f"~ {it.path}", f"  - {_route(it.before)}", f"  + {_route(it.after)}"]


def _told(it: Change) -> dict[str, object]:
    from dataclasses import asdict

    return {
        "kind": it.kind,
        "path": it.path,
        "before": it.before and asdict(it.before),
        "after": it.after and asdict(it.after),
    }
