"""afx session change: changes of many sessions that the API was asked for."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from cli import groups, output, sort_options
from cli.shared import Invocation, shared

app = groups.group("Changes of many sessions that the API was asked for, and makes step by step.")
ChangeId = Annotated[int, typer.Argument(metavar="ID", help="The change's number.")]


@app.command("list")
@shared("watch", "database_url", "json", pages=True)
def list_(invocation: Invocation, sort: sort_options.ById = "-id") -> None:
    """List changes of many sessions and how far each has come, the newest first.

    Example:  afx session change list
    """
    from afx.operations import session_changes

    invocation.print_list(
        lambda after, limit: session_changes.listing(
            invocation.context, after=after, limit=limit, sort=sort
        ),
        ("ID", "CHANGE", "STATE", "COUNT", "WAITING", "REQUESTED", "DONE", "REFUSED", "BY", "AT"),
        lambda it: (
            *(it.id, it.verb, it.state, it.count, it.waiting, it.requested, it.done, it.refused),
            *(it.actor, it.created_at),
        ),
        empty=output.no("changes of many sessions", filtered=False),
        by_id=True,
    )


@app.command()
@shared("database_url", "json")
def show(invocation: Invocation, change_id: ChangeId) -> None:
    """Show a change of many sessions, and with --json what came of each session.

    Example:  afx session change show 3
    """
    from afx.operations import session_changes

    fields = asdict(session_changes.show(invocation.context, change_id))
    if not invocation.json:
        refused = [it for it in fields.pop("items") if it["state"] == "refused"]
        fields["refused"] = [f"{it['session']}: {it['note']}" for it in refused]
    output.print_fields(fields, as_json=invocation.json)


@app.command()
@shared("database_url", change=True)
def cancel(invocation: Invocation, change_id: ChangeId) -> None:
    """Cancel a change that is not finished; what was requested of sessions so far stays.

    Example:  afx session change cancel 3
    """
    from afx.operations import session_changes

    invocation.say(session_changes.cancel(invocation.context, change_id))
