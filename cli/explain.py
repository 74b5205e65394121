"""afx explain."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from afx.errors import UsageError
from cli import output
from cli.shared import Invocation, shared


@shared("json")
def explain(
    invocation: Invocation,
    subject: Annotated[str, typer.Argument(metavar="SUBJECT", help="task.KIND")],
) -> None:
    """Explain a kind of task: what it does, its arguments, its result, its retries.

    Example:  afx explain task.message.broadcast
    """
    from afx.operations import tasks

    noun, _, name = subject.partition(".")
    if noun != "task" or not name:
        raise UsageError("A subject is task.KIND; 'afx task kinds' shows the kinds.")
    found = tasks.explain(invocation.context, name)
    if invocation.json:
        output.print_json(asdict(found))
        return
    print(found.summary)
    output.print_fields(
        {
            "queue": found.priority,
            "attempts": found.max_attempts,
            "time_out": f"{found.timeout_seconds} s",
            "needs_a_session": found.needs_session,
            "repeated": _WHY[found.idempotence],
        },
        as_json=False,
    )
    for title, schema in (("argument", found.arguments), ("result", found.result)):
        fields = schema.get("properties", {})
        needed = schema.get("required", [])
        output.print_table(
            (title.upper(), "TYPE", "DEFAULT"),
            [
                (
                    name,
                    it.get("type") or "one of several",
                    "(needed)" if name in needed else it.get("default"),
                )
                for name, it in fields.items()
            ],
            empty="",
        )


_WHY = {
    "reads": "it changes nothing, so a repeated run does no harm",
    "state": "a repeated run finds the state that it leads to",
    "keyed": "each side effect has a key by which Telegram recognises a repeated one",
}
