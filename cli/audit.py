"""afx audit."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from cli import groups, output, sort_options
from cli.shared import Invocation, shared

_SHOWN_FAULTS = 20
app = groups.group("The audit log: who changed what.")


@app.command("list")
@shared("database_url", "json", pages=True)
def list_(
    invocation: Invocation,
    actor: Annotated[str | None, typer.Option("--actor", help="Only by this one.")] = None,
    action: Annotated[
        str | None, typer.Option("--action", help="Only actions that begin so: 'user.'.")
    ] = None,
    target: Annotated[
        str | None, typer.Option("--target", help="Only on this: 'session/main'.")
    ] = None,
    sort: sort_options.ById = "-id",
) -> None:
    """List entries, the newest first.

    Example:  afx audit list --target session/main
    """
    from afx.operations import audit_log

    invocation.print_list(
        lambda after, limit: audit_log.listing(
            invocation.context,
            after=after,
            limit=limit,
            actor=actor,
            action=action,
            target=target,
            sort=sort,
        ),
        ("ID", "AT", "ACTOR", "ACTION", "TARGET", "DETAILS"),
        lambda it: (it.id, it.at, it.actor, it.action, it.target, it.details),
        empty=output.no(
            "entries",
            filtered=any(it is not None for it in (actor, action, target)),
            hint="each change makes one",
        ),
        by_id=True,
    )


@app.command()
@shared("redis_url", "database_url", "json")
def verify(
    invocation: Invocation,
    head: Annotated[
        str,
        typer.Option("--head", help="ENTRIES:DIGEST of an earlier check [default: as Redis has]."),
    ] = "",
) -> None:
    """Check that no entry was changed, removed, moved or cut off.

    Prints the head. Store it elsewhere and give it with --head the next time: then it
    proves that the log is complete since. Exits 1 when it is not.

    Example:  afx audit verify
    """
    from afx.errors import SecretError
    from afx.operations import audit_log

    verdict = audit_log.verify(invocation.context, head=head)
    if invocation.json:
        fields = asdict(verdict)
        del fields["key_differs"]
        output.print_json(fields)
    elif verdict.key_differs:
        raise SecretError(
            f"No entry of the audit log ({verdict.entries}) fits the secret key: it is another "
            "cluster's, or all entries were changed; check AFX_SECRET_KEY."
        )
    else:
        for fault in verdict.faults[:_SHOWN_FAULTS]:
            print(fault)
        if len(verdict.faults) > _SHOWN_FAULTS:
            print("… and more; --json lists up to 100")
        state = "NOT complete" if verdict.faults else "complete"
        entries = f"{verdict.entries} {'entry' if verdict.entries == 1 else 'entries'}"
        print(f"the audit log is {state}: {entries}, compared with {verdict.noted_by}")
        print(f"head {verdict.entries}:{verdict.digest}")
    if verdict.faults:
        raise typer.Exit(1)


@app.command()
@shared("redis_url", "database_url", "json", "yes", change=True)
def accept(invocation: Invocation) -> None:
    """Accept an audit log that does not go on from the noted head, and note its present end.

    Find out first who changed it: what is missing does not come back. Needs --reason.

    Example:  afx audit accept --yes --reason "restored from the backup of May 3"
    """
    from afx.operations import audit_log

    invocation.confirm("Accept the audit log as it is, although entries were changed or cut off?")
    head = audit_log.accept(invocation.context)
    if invocation.json:
        output.print_json({"head": head, "dry_run": invocation.dry_run})
    else:
        invocation.say(f"accepted: head {head}")
