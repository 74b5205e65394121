"""afx queue."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from cli import groups, output
from cli.shared import Invocation, shared

app = groups.group("Queues of tasks: how full they are, emptying them.")
QueueName = Annotated[str, typer.Argument(metavar="NAME", help="premium, high, default or low.")]


@app.command("list")
@shared("watch", "database_url", "json")
def list_(invocation: Invocation) -> None:
    """List the queues: how many tasks wait and run, and since when the oldest waits.

    Example:  afx queue list --watch
    """
    from afx.operations import queues

    def draw() -> None:
        rows = queues.listing(invocation.context)
        if invocation.json:
            output.print_json([asdict(it) for it in rows])
            return
        output.print_table(
            ("QUEUE", "WAITING", "QUEUED", "PUBLISHED", "RUNNING", "OLDEST"),
            [
                (
                    it.name,
                    it.waiting,
                    it.queued,
                    it.published,
                    it.running,
                    "" if it.oldest_seconds is None else f"{it.oldest_seconds:.1f} s",
                )
                for it in rows
            ],
            empty="",
        )

    output.repeat(draw, invocation.watch)


@app.command()
@shared("database_url", "json")
def show(invocation: Invocation, name: QueueName) -> None:
    """Show one queue.

    Example:  afx queue show low
    """
    from afx.operations import queues

    output.print_fields(asdict(queues.show(invocation.context, name)), as_json=invocation.json)


@app.command()
@shared("database_url", change=True)
def requeue(invocation: Invocation, name: QueueName) -> None:
    """Queue the failed tasks of a queue again.

    Example:  afx queue requeue default
    """
    from afx.operations import queues

    count = queues.requeue(invocation.context, name)
    invocation.say(f"{count} tasks of {name} are queued again")


@app.command()
@shared("yes", "database_url", change=True)
def purge(invocation: Invocation, name: QueueName) -> None:
    """Cancel the tasks of a queue that no node has yet.

    Example:  afx queue purge low --yes
    """
    from afx.operations import queues

    queues.show(invocation.context, name)  # a queue that does not exist needs no answer
    invocation.confirm(f"Cancel the tasks that wait in {name}?")
    count = queues.purge(invocation.context, name)
    invocation.say(f"{count} tasks of {name} are cancelled")
