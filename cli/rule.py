"""afx rule."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import (
    complete,
    dead,
    doubt,
    groups,
    output,
    review,
    rule_content,
    rule_digest,
    rule_figures,
    rule_import,
    sort_options,
)
from cli.rule_content import read_file, read_part, route, warn
from cli.rule_diff import check_access, interruptible, print_diff, say_counts
from cli.shared import Invocation, shared

if TYPE_CHECKING:
    from afx.operations.rule_files import Change

app = groups.group("Rules: which chats are forwarded, and where to.")
app.add_typer(dead.app, name="dead")
app.add_typer(doubt.app, name="doubt")
app.add_typer(review.app, name="review")
Which = Annotated[
    str, typer.Argument(help="An id, or SESSION/NAME.", autocompletion=complete.rules)
]
OfSession = Annotated[
    str | None,
    typer.Option("--session", help="Only of this one.", autocompletion=complete.sessions),
]


@app.command()
@shared("database_url", change=True)
def add(
    invocation: Invocation,
    session: Annotated[str, typer.Argument(autocompletion=complete.sessions)],
    source: Annotated[
        list[str], typer.Option("--from", metavar="CHAT", help="A source chat; may be repeated.")
    ],
    destination: Annotated[
        list[str], typer.Option("--to", metavar="CHAT", help="A destination; may be repeated.")
    ],
    mode: Annotated[
        str,
        typer.Option(
            "--mode", help="copy (no author shown) or forward.", autocompletion=complete.modes
        ),
    ] = "copy",
    name: Annotated[str, typer.Option("--name", help="Its name [default: rule-N].")] = "",
    filter_: Annotated[
        str | None,
        typer.Option("--filter", help="Which messages, as a rule file has it.", metavar="YAML"),
    ] = None,
    transform: Annotated[
        str | None,
        typer.Option("--transform", help="What is changed of copies.", metavar="YAML"),
    ] = None,
    sync: Annotated[
        str | None,
        typer.Option("--sync", help="Followed: edits, deletes, pins, topics.", metavar="YAML"),
    ] = None,
    options: Annotated[
        str | None,
        typer.Option("--options", help="What else, as a rule file has it.", metavar="YAML"),
    ] = None,
) -> None:
    """Add a rule to a session; chats are @names, links, ids (channels: -100…) or me.

    A running session uses it within a second, without a restart. docs/forward.md
    has the conditions of filters, and the transforms.

    Example:  afx rule add main --from @news --to @copies --filter 'contains: [bitcoin, ether]'
    """
    from afx.operations import rules

    doc = rules.add(
        invocation.context,
        session,
        sources=source,
        destinations=destination,
        mode=mode,
        name=name,
        filter=read_part(filter_, "filter"),
        transform=read_part(transform, "transform"),
        sync=read_part(sync, "sync"),
        options=read_part(options, "options"),
    )
    invocation.say(f"rule {doc.path} added: {route(doc)}")
    warn(invocation, [doc.path])


@app.command()
@shared("yes", "database_url", "json", change=True)
def apply(
    invocation: Invocation,
    file: Annotated[Path, typer.Option("--file", "-f", help="YAML, TOML or JSON; - is stdin.")],
    prune: Annotated[
        bool,
        typer.Option("--prune", help="Remove rules of the file's sessions that it does not name."),
    ] = False,
    offline: Annotated[
        bool, typer.Option("--offline", help="Do not ask the accounts whether they can.")
    ] = False,
) -> None:
    """Make the rules those of a file; shows the differences first.

    In a running cluster it asks each account first whether it can read its
    sources and post to its destinations; one that cannot changes no rule.

    Rules of the file are added or changed, others are left alone (--prune
    removes them). All or nothing: a mistake anywhere changes no rule.

    Example:  afx rule apply -f rules.yaml --dry-run
    """
    from afx.operations import rule_files

    where = "standard input" if str(file) == "-" else str(file)
    with interruptible("nothing was changed"):
        changes = rule_files.plan(
            invocation.context, read_file(file, rule_files.LARGEST_BYTES), where, prune=prune
        )
        if invocation.json:
            output.print_json([_fields(it) for it in changes])
        else:
            print_diff(changes)
        warn(invocation, [it.path for it in changes if it.kind != "remove"], changes)
        if removed := sum(it.kind == "remove" for it in changes):
            invocation.confirm(f"{removed} rules will be removed. Go on?")
        if not offline:
            check_access(invocation, changes)
    if changes:
        # All of it is one transaction, which is over, or never was.
        with interruptible("all of it was changed, or nothing; with --dry-run it shows what"):
            rule_files.apply(invocation.context, changes, where)
    if not invocation.json:
        say_counts(invocation, changes)


@app.command()
def schema() -> None:
    """Print the JSON Schema of rule files, for editors.

    Example:  afx rule schema > rules.schema.json
    """
    from afx.operations import rule_files

    output.print_json(rule_files.schema())


@app.command("list")
@shared("database_url", "json", pages=True)
def list_(
    invocation: Invocation,
    session: OfSession = None,
    enabled: Annotated[
        bool | None, typer.Option("--enabled/--disabled", help="Only those.")
    ] = None,
    figures: Annotated[
        bool, typer.Option("--figures", help="What became of their messages in the last day.")
    ] = False,
    sort: sort_options.ById = "id",
) -> None:
    """List rules, by id.

    Example:  afx rule list --session main --figures
    """
    from afx.operations import rules

    if figures:
        rule_figures.list_(invocation, session, enabled, sort)
        return
    collected = rule_digest.by_rule(invocation, session=session)
    invocation.print_list(
        lambda after, limit: rules.listing(
            invocation.context,
            after=after,
            limit=limit,
            session=session,
            enabled=enabled,
            sort=sort,
        ),
        (
            *("ID", "SESSION", "NAME", "FROM", "TO", "MODE", "ENABLED", "TROUBLE"),
            *(["DIGEST"] if collected else []),
        ),
        lambda it: (
            *(it.id, it.session, it.name, it.sources, it.destinations),
            *(it.mode, it.enabled, it.trouble),
            *([rule_digest.cell(collected.get(it.id))] if collected else []),
        ),
        empty=output.no(
            "rules",
            filtered=session is not None or enabled is not None,
            hint="add one with 'afx rule add'",
        ),
        by_id=True,
    )


@app.command()
@shared("database_url", "json")
def show(invocation: Invocation, rule: Which) -> None:
    """Show one rule, and what became of its messages in the last day.

    Example:  afx rule show main/news
    """
    from datetime import UTC, datetime, timedelta

    from afx.operations import rule_figures as operation
    from afx.operations import rules

    found = rules.show(invocation.context, rule)
    fields = asdict(found)
    if it := rule_digest.by_rule(invocation, rule=str(found.id)).get(found.id):
        fields["digest"] = {"waiting": it.waiting, "due_at": it.due_at}
    output.print_fields(fields, as_json=invocation.json)
    if not invocation.json:
        since = datetime.now(UTC) - timedelta(days=1)
        figures = operation.history(invocation.context, str(found.id), since).figures
        names = (it.lower() for it in rule_figures.COLUMNS)
        day = dict(zip(names, rule_figures.cells(figures), strict=True))
        output.print_fields({"last day": day}, as_json=False)


@app.command()
@shared("database_url", "json", change=True)
def secret(invocation: Invocation, rule: Which) -> None:
    """Show the secrets by which the requests to the webhooks in a rule's destinations are signed.

    Example:  afx rule secret main/news
    """
    from afx.operations import rules

    rows = rules.output_secrets(invocation.context, rule)
    if invocation.json:
        output.print_json(rows)
        return
    output.print_table(
        ("DESTINATION", "SECRET"),
        [(it.destination, it.secret) for it in rows],
        empty=output.no("webhooks", filtered=False),
    )


@app.command()
@shared("database_url", change=True)
def enable(invocation: Invocation, rule: Which) -> None:
    """Let a rule forward again.

    Example:  afx rule enable main/news
    """
    _set_enabled(invocation, rule, True)


@app.command()
@shared("database_url", change=True)
def disable(invocation: Invocation, rule: Which) -> None:
    """Let a rule forward nothing, without removing it.

    Example:  afx rule disable main/news
    """
    _set_enabled(invocation, rule, False)


@app.command()
@shared("yes", "database_url", change=True)
def remove(invocation: Invocation, rule: Which) -> None:
    """Remove a rule.

    Example:  afx rule remove main/news --yes
    """
    from afx.operations import rules

    path = rules.show(invocation.context, rule).path
    invocation.confirm(f"Remove rule '{path}'?")
    invocation.say(f"rule {rules.remove(invocation.context, path)} removed")


@app.command()
@shared("database_url")
def export(invocation: Invocation, session: OfSession = None) -> None:
    """Print rules as a file that 'afx rule apply' takes.

    Example:  afx rule export > rules.yaml
    """
    from afx.operations import rule_files

    for text in rule_files.export(invocation.context, session):
        print(text, end="")


def _set_enabled(invocation: Invocation, rule: str, enabled: bool) -> None:
    from afx.operations import rules

    path, changed = rules.set_enabled(invocation.context, rule, enabled)
    word = "enabled" if enabled else "disabled"
    invocation.say(f"rule {path} is {'' if changed else 'already '}{word}")


def _fields(it: Change) -> dict[str, object]:
    return {"kind": it.kind, "path": it.path, "before": it.before, "after": it.after}


rule_content.add_to(app)
app.command("import")(rule_import.import_)
rule_figures.add_to(app)
