"""afx task schedule."""

from __future__ import annotations

from typing import Annotated

import typer

from cli import complete, groups, output
from cli.shared import Invocation, shared

app = groups.group("Schedules: tasks that are submitted again and again.")
ScheduleName = Annotated[str, typer.Argument(metavar="NAME", help="As 'list' shows it.")]


@app.command()
@shared("database_url", change=True)
def add(
    invocation: Invocation,
    name: Annotated[str, typer.Argument(metavar="NAME")],
    cron: Annotated[str, typer.Argument(metavar="CRON", help="Five fields, in UTC.")],
    kind: Annotated[
        str, typer.Argument(help="As 'afx task kinds' shows it.", autocompletion=complete.kinds)
    ],
    arg: Annotated[
        list[str] | None, typer.Option("--arg", metavar="NAME=VALUE", help="An argument.")
    ] = None,
    session: Annotated[
        list[str] | None,
        typer.Option(
            "--session",
            metavar="NAME",
            help="For this session; repeat it.",
            autocompletion=complete.sessions,
        ),
    ] = None,
    user: Annotated[
        str,
        typer.Option("--user", help="For all sessions of a user.", autocompletion=complete.users),
    ] = "",
    everything: Annotated[bool, typer.Option("--all", help="For all sessions.")] = False,
    priority: Annotated[
        str, typer.Option("--priority", help="premium, high, default or low [default: the kind's].")
    ] = "",
    overlap: Annotated[
        str, typer.Option("--overlap", help="When the last ones still run: skip, queue or replace.")
    ] = "skip",
    catch_up: Annotated[
        str, typer.Option("--catch-up", help="After an outage: skip, or run once.")
    ] = "skip",
    pause_after: Annotated[
        int,
        typer.Option(
            "--pause-after", min=0, help="Pause after so many failures in a row; 0: never."
        ),
    ] = 0,
) -> None:
    """Submit a task again and again, at the times of a cron expression.

    Example:  afx task schedule add nightly "0 3 * * *" session.check --all
    """
    from afx.operations import schedules, task_requests
    from afx.operations.task_requests import TaskRequest

    request = TaskRequest(
        kind=kind,
        arguments=task_requests.parse_pairs(kind, arg or ()),
        sessions=tuple(session or ()),
        user=user,
        every_session=everything,
        priority=priority,
    )
    first = schedules.add(
        invocation.context,
        name,
        cron,
        request,
        overlap=overlap,
        catch_up=catch_up,
        pause_after=pause_after,
    )
    invocation.say(f"schedule {name} added; its first time is {output.cell(first)} UTC")


@app.command("list")
@shared("database_url", "json", pages=True)
def list_(invocation: Invocation) -> None:
    """List the schedules.

    Example:  afx task schedule list
    """
    from afx.operations import schedules

    invocation.print_list(
        lambda after, limit: schedules.listing(invocation.context, after=after, limit=limit),
        ("NAME", "CRON", "KIND", "PAUSED", "NEXT", "LAST", "NOTE"),
        lambda it: (it.name, it.cron, it.kind, it.paused, it.next_at, it.last_at, it.note),
        empty=output.no("schedules", filtered=False),
    )


@app.command()
@shared("database_url", change=True)
def remove(invocation: Invocation, name: ScheduleName) -> None:
    """Remove a schedule; the tasks that it has submitted stay.

    Example:  afx task schedule remove nightly
    """
    from afx.operations import schedules

    invocation.say(f"schedule {schedules.remove(invocation.context, name)} is removed")


@app.command()
@shared("database_url", change=True)
def pause(invocation: Invocation, name: ScheduleName) -> None:
    """Pause a schedule.

    Example:  afx task schedule pause nightly
    """
    from afx.operations import schedules

    invocation.say(f"schedule {schedules.set_paused(invocation.context, name, True)} is paused")


@app.command()
@shared("database_url", change=True)
def resume(invocation: Invocation, name: ScheduleName) -> None:
    """Let a paused schedule go on at its next time.

    Example:  afx task schedule resume nightly
    """
    from afx.operations import schedules

    invocation.say(f"schedule {schedules.set_paused(invocation.context, name, False)} goes on")
