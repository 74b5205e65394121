"""afx session bulk: changes of many sessions at once."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from cli import complete, output, session_filter
from cli.shared import Invocation, shared


@shared("yes", "database_url", "json", change=True)
def bulk(
    invocation: Invocation,
    verb: Annotated[str, typer.Argument(help="pause, resume, hibernate, wake, move or remove.")],
    user: session_filter.User = None,
    tier: session_filter.Tier = None,
    node: session_filter.Node = None,
    state: session_filter.State = None,
    trouble: session_filter.Trouble = False,
    prefix: session_filter.Prefix = "",
    label: session_filter.Label = None,
    health: session_filter.Health = None,
    everything: Annotated[bool, typer.Option("--all", help="All sessions.")] = False,
    to: Annotated[
        str,
        typer.Option("--to", help="Where they move to.", autocompletion=complete.workers),
    ] = "",
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=1_000, help="Change at most so many.")
    ] = 1_000,
    after: Annotated[
        str | None, typer.Option("--after", help="Begin behind the session of this name.")
    ] = None,
) -> None:
    """Change all sessions that a filter finds, in the order of their names.

    With --dry-run it says how many there are, and what would be refused. It does not wait: the
    controls go on, and 'afx control list' shows them.

    Example:  afx session bulk pause --user alice --state running --limit 50
    """
    from afx.errors import UsageError
    from afx.operations import session_bulk
    from afx.operations.sessions import SessionFilter

    if verb not in session_bulk.VERBS:
        raise UsageError(f"Sessions can {', '.join(session_bulk.VERBS)}, not '{verb[:20]}'.")
    chosen = SessionFilter(user, tier, node, state, trouble, prefix, label, health)
    found = session_bulk.preview(invocation.context, chosen)
    count = min(found.matched, limit)
    if verb == "remove" and count:
        invocation.confirm(f"Remove {count} sessions and their rules?")
    plan = session_bulk.plan(
        invocation.context,
        verb,  # type: ignore[arg-type]
        chosen,
        everything=everything,
        node=to,
        limit=limit,
        after=after,
    )
    done = session_bulk.change(invocation.context, plan)
    if invocation.json:
        output.print_json(asdict(done))
        return
    refused = [it for it in done.items if it.state == "refused"]
    for it in refused:
        print(f"{it.session}: {it.note}")
    would = "would be requested" if done.dry_run else "requested"
    invocation.say(
        f"{verb}: {done.matched} sessions match, {len(done.items) - len(refused)} {would}, "
        f"{len(refused)} refused"
    )
    if done.next is not None:
        print(f"there are more; go on with --after '{done.next}'")
    if refused and len(refused) == len(done.items):
        raise typer.Exit(1)
