"""afx control."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from cli import complete, groups, output, sort_options
from cli.shared import Invocation, shared

app = groups.group("Controls: commands to nodes and about sessions.")
ControlId = Annotated[int, typer.Argument(metavar="ID", help="As 'afx control list' shows it.")]


@app.command("list")
@shared("watch", "database_url", "json", pages=True)
def list_(
    invocation: Invocation,
    worker: Annotated[
        str | None,
        typer.Option("--worker", help="Only of this node.", autocompletion=complete.workers),
    ] = None,
    only_open: Annotated[bool, typer.Option("--open", help="Only those not finished.")] = False,
    sort: sort_options.ById = "-id",
) -> None:
    """List controls, the newest first.

    Example:  afx control list --open
    """
    from afx.operations import controls

    invocation.print_list(
        lambda after, limit: controls.listing(
            invocation.context,
            after=after,
            limit=limit,
            worker=worker,
            only_open=only_open,
            sort=sort,
        ),
        ("ID", "KIND", "STATE", "NODE", "SESSION", "BY", "AT", "NOTE"),
        lambda it: (
            it.id,
            it.kind,
            it.state,
            it.worker,
            it.session,
            it.actor,
            it.created_at,
            it.note,
        ),
        empty=output.no("controls", filtered=worker is not None or only_open),
        by_id=True,
    )


@app.command()
@shared("database_url", "json")
def show(invocation: Invocation, control_id: ControlId) -> None:
    """Show one control from its request to its end.

    Example:  afx control show 12
    """
    from afx.operations import controls

    found = controls.show(invocation.context, control_id)
    output.print_fields(asdict(found), as_json=invocation.json)


@app.command()
@shared("database_url", change=True)
def cancel(invocation: Invocation, control_id: ControlId) -> None:
    """Cancel a control that is not finished; what it has done so far stays.

    Example:  afx control cancel 12
    """
    from afx.operations import controls

    invocation.say(controls.cancel(invocation.context, control_id))
