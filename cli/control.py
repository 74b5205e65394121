"""afx control."""

from __future__ import annotations

from typing import Annotated

import typer

from cli import common, complete, groups, output

app = groups.group("Controls: commands to nodes and about sessions.")


@app.command("list")
def list_(
    worker: Annotated[
        str | None,
        typer.Option("--worker", help="Only of this node.", autocompletion=complete.workers),
    ] = None,
    only_open: Annotated[bool, typer.Option("--open", help="Only what is not finished.")] = False,
    limit: output.Limit = None,
    after: Annotated[int | None, typer.Option("--after", help="Begin after this id.")] = None,
    everything: output.Everything = False,
    watch: output.Watch = False,
    database_url: common.DatabaseUrl = None,
    json: common.Json = False,
) -> None:
    """List controls, the newest first.

    Example:  afx control list --open
    """
    with common.reading(database_url):
        from models.storage import controls

        output.repeat(
            lambda: output.print_list(
                lambda begin, most: controls.listing(
                    before=begin, limit=most, worker=worker, only_open=only_open
                ),
                ("ID", "KIND", "STATE", "NODE", "SESSION", "BY", "AT", "NOTE"),
                lambda it: (
                    it["id"],
                    it["kind"],
                    it["state"],
                    it["worker"],
                    it["session"],
                    it["actor"],
                    it["created_at"],
                    it["note"],
                ),
                as_json=json,
                limit=limit,
                after=after,
                everything=everything,
                empty=output.no("controls", filtered=worker is not None or only_open),
            ),
            watch,
        )


@app.command()
def show(number: int, database_url: common.DatabaseUrl = None, json: common.Json = False) -> None:
    """Show one control from its request to its end.

    Example:  afx control show 12
    """
    with common.reading(database_url):
        from models.storage import controls

        fields = controls.get(number)
    output.print_fields(fields, as_json=json)


@app.command()
def cancel(
    number: int, dry_run: common.DryRun = False, database_url: common.DatabaseUrl = None
) -> None:
    """Call a control off that is not finished; what it has done stays.

    Example:  afx control cancel 12
    """
    with common.changing(database_url, dry_run=dry_run) as (_, who):
        from afx.operations import controls

        told = controls.cancel(who, number)
    common.say(told, dry_run=dry_run)
