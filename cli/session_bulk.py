"""afx session bulk: changes of many sessions at once."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from cli import complete, output
from cli.shared import Invocation, shared


@shared("yes", "database_url", "json", change=True)
def bulk(
    invocation: Invocation,
    verb: Annotated[str, typer.Argument(help="pause, resume, hibernate, wake, move or remove.")],
    user: Annotated[
        str | None, typer.Option("--user", help="Only of this user.", autocompletion=complete.users)
    ] = None,
    tier: Annotated[
        str | None,
        typer.Option("--tier", help="Only of this tier.", autocompletion=complete.tiers),
    ] = None,
    node: Annotated[
        str | None,
        typer.Option("--node", help="Only on this node.", autocompletion=complete.workers),
    ] = None,
    state: Annotated[
        str | None,
        typer.Option("--state", help="Only in this state.", autocompletion=complete.states),
    ] = None,
    trouble: Annotated[bool, typer.Option("--trouble", help="Only with a trouble.")] = False,
    prefix: Annotated[str, typer.Option("--prefix", help="Only names that begin so.")] = "",
    label: Annotated[
        str | None,
        typer.Option("--label", metavar="KEY=VALUE", help="Only those that require a label."),
    ] = None,
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
    chosen = SessionFilter(user, tier, node, state, trouble, prefix, label)
    found = session_bulk.preview(invocation.context, chosen)
    count = min(found.matched, limit)
    if verb == "remove" and count:
        invocation.confirm(f"Remove {count} sessions and their rules?")
    done = session_bulk.change(
        invocation.context,
        verb,  # type: ignore[arg-type]
        chosen,
        everything=everything,
        node=to,
        limit=limit,
        after=after,
    )
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
