"""afx audit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cli import common, groups, output

if TYPE_CHECKING:
    from afx.config import Settings

_SHOWN_FAULTS = 20
app = groups.group("The audit log: who changed what.")


@app.command("list")
def list_(
    actor: Annotated[str | None, typer.Option("--actor", help="Only by this one.")] = None,
    action: Annotated[
        str | None, typer.Option("--action", help="Only actions that begin so: 'user.'.")
    ] = None,
    target: Annotated[
        str | None, typer.Option("--target", help="Only on this: 'session/main'.")
    ] = None,
    limit: output.Limit = None,
    after: Annotated[int | None, typer.Option("--after", help="Begin after this entry.")] = None,
    everything: output.Everything = False,
    database_url: common.DatabaseUrl = None,
    json: common.Json = False,
) -> None:
    """List entries, the newest first.

    Example:  afx audit list --target session/main
    """
    with common.reading(database_url):
        from models.storage import audit

        output.print_list(
            lambda begin, most: audit.listing(
                before=begin, limit=most, actor=actor, action=action, target=target
            ),
            ("ID", "AT", "ACTOR", "ACTION", "TARGET", "DETAILS"),
            lambda it: (
                it["id"],
                it["at"],
                it["actor"],
                it["action"],
                it["target"],
                it["details"],
            ),
            as_json=json,
            limit=limit,
            after=after,
            everything=everything,
            empty=output.no(
                "entries",
                filtered=any(it is not None for it in (actor, action, target)),
                hint="each change makes one",
            ),
        )


@app.command()
def verify(
    head: Annotated[
        str,
        typer.Option("--head", help="ENTRIES:DIGEST of an earlier check [default: as Redis has]."),
    ] = "",
    redis_url: common.RedisUrl = None,
    database_url: common.DatabaseUrl = None,
    json: common.Json = False,
) -> None:
    """Check that no entry was changed, removed, moved or cut off.

    Prints the head; kept elsewhere and given with --head the next time, it
    proves that the log since then is whole. Exits 1 when it is not.

    Example:  afx audit verify
    """
    held = common.settings(redis_url=redis_url, database_url=database_url)
    from afx.errors import SecretError
    from afx.security.keyfile import audit_keys, read_keys

    keys = audit_keys(read_keys(held.home, held.secret_key.get_secret_value(), create=False))
    noted, source = _noted(head, held)
    with common.database(held):
        from models.storage import audit

        verdict = audit.verify(keys, seen=noted)
    if json:
        output.print_json(
            {
                "entries": verdict.entries,
                "digest": verdict.digest,
                "faults": verdict.faults,
                "noted_by": source,
            }
        )
    elif verdict.key_differs:
        raise SecretError(
            f"No entry of the audit log ({verdict.entries}) fits the secret key: it is another "
            "cluster's, or all entries were changed; check AFX_SECRET_KEY."
        )
    else:
        for it in verdict.faults[:_SHOWN_FAULTS]:
            print(it)
        if len(verdict.faults) > _SHOWN_FAULTS:
            print("… and more; --json lists up to 100")
        state = "NOT whole" if verdict.faults else "whole"
        print(f"the audit log is {state}: {verdict.entries} entries, compared with {source}")
        print(f"head {verdict.entries}:{verdict.digest}")
    if verdict.faults:
        raise typer.Exit(1)


def _noted(head: str, held: Settings) -> tuple[tuple[int, str] | None, str]:
    import redis

    from afx.cluster import keys
    from afx.errors import AfxError, UsageError

    if head:
        number, _, digest = head.partition(":")
        if not number.isdecimal() or len(digest) != 64:
            raise UsageError("--head is ENTRIES:DIGEST, as an earlier check printed it.")
        return (int(number), digest), "--head"
    try:
        with common.redis_client(held) as client:
            text = str(client.get(keys.AUDIT_HEAD) or "")
    except (AfxError, redis.RedisError):
        return None, "nothing: Redis does not answer"
    number, _, digest = text.partition(":")
    if not digest:
        return None, "nothing: no head was noted yet"
    return (int(number), digest), "the head that the coordinator noted"
