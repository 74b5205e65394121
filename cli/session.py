"""afx session."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from cli import common, complete, groups, output, waiting

app = groups.group("Sessions: Telegram accounts' logins.")
Name = Annotated[
    str,
    typer.Argument(help="A name, an id, or a unique beginning.", autocompletion=complete.sessions),
]
Owner = Annotated[str, typer.Option("--user", help="Who owns it.", autocompletion=complete.users)]


@app.command()
def login(
    name: str,
    user: Owner,
    phone: Annotated[
        str, typer.Option("--phone", help="With country code [default: it is asked].")
    ] = "",
    qr: Annotated[bool, typer.Option("--qr", help="Sign in by scanning a QR code.")] = False,
    sandbox: Annotated[
        bool, typer.Option("--sandbox", help="At the local Telegram of this home.")
    ] = False,
    database_url: common.DatabaseUrl = None,
) -> None:
    """Sign in to Telegram and add the session: by phone and code, or by QR code.

    The code and the password of two-step verification are asked for. Needs
    AFX_API_ID and AFX_API_HASH of my.telegram.org.

    Example:  afx session login main --user alice --qr
    """
    from cli.login import sign_in

    with common.changing(database_url) as (held, who):
        from afx.operations import sessions
        from models.names import check_name
        from models.storage import users
        from models.storage.sessions import taken

        # What would be refused afterwards is refused before anybody signs in.
        check_name("session", name)
        owner = users.find(user)
        if taken([(name, None)])[0]:
            from afx.errors import UsageError

            raise UsageError(f"There is a session '{name}' already; choose another name.")
        signed = sign_in(held, phone=phone, qr=qr, sandbox=sandbox)
        number = sessions.add(who, common.vault(held), name, owner.name, signed.login)
    print(f"session {name} added (id {number}): it is {signed.account}")


@app.command("import")
def import_(
    name: Annotated[str | None, typer.Argument(help="The name of the one session.")] = None,
    user: Annotated[
        str, typer.Option("--user", help="Who owns it.", autocompletion=complete.users)
    ] = "",
    login: Annotated[
        str | None,
        typer.Option("--login", help="A Telethon session string [default: read from stdin]."),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", "-f", help="A Telethon .session file, or a .csv or .jsonl list."),
    ] = None,
    result: Annotated[
        Path | None, typer.Option("--result", help="Write what became of each line, as JSON lines.")
    ] = None,
    dry_run: common.DryRun = False,
    database_url: common.DatabaseUrl = None,
    json: common.Json = False,
) -> None:
    """Add sessions: one from a Telethon string or .session file, or many from a list.

    The string is a password: give it on standard input, so that no history and
    no process list shows it. A list has the columns name, login or file, and
    user; an import that was broken off is run again and goes on.

    Example:  afx session import main --user alice < login.txt

    Example:  afx session import -f accounts.csv --user alice --result done.jsonl
    """
    from afx.errors import UsageError

    many = file is not None and file.suffix.lower() in (".csv", ".jsonl", ".ndjson")
    if many:
        if name is not None or login is not None:
            raise UsageError("A list of sessions has the names and logins itself; give it alone.")
        _import_many(file, user, result, dry_run, database_url, json)  # type: ignore[arg-type]
        return
    if not name or not user:
        raise UsageError("Give the session's NAME and --user; a list is given with -f FILE.csv.")
    with common.changing(database_url, dry_run=dry_run) as (held, who):
        from afx.operations import logins, sessions

        text = logins.from_file(file) if file else login or sys.stdin.readline()
        number = sessions.add(who, common.vault(held), name, user, text)
    common.say(f"session {name} added (id {number})", dry_run=dry_run)


@app.command("list")
def list_(
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
    limit: output.Limit = None,
    after: output.After = None,
    everything: output.Everything = False,
    watch: output.Watch = False,
    database_url: common.DatabaseUrl = None,
    json: common.Json = False,
) -> None:
    """List sessions by name: where they run and what troubles them.

    Example:  afx session list --user alice --state waiting
    """
    with common.reading(database_url):
        from models.storage import sessions
        from models.storage.sessions import SessionFilter

        chosen = SessionFilter(user, tier, node, state, trouble, prefix)
        output.repeat(
            lambda: output.print_list(
                lambda begin, most: sessions.listing(chosen, after=begin, limit=most),
                ("ID", "NAME", "USER", "TIER", "STATE", "NODE", "TROUBLE"),
                lambda it: (
                    it["id"],
                    it["name"],
                    it["user"],
                    it["tier"],
                    it["state"],
                    it["node"],
                    it["trouble"] or it["waits"],
                ),
                as_json=json,
                limit=limit,
                after=after,
                everything=everything,
                empty=output.no(
                    "sessions",
                    filtered=chosen != SessionFilter(),
                    hint="add one with 'afx session import'",
                ),
            ),
            watch,
        )


@app.command()
def show(name: Name, database_url: common.DatabaseUrl = None, json: common.Json = False) -> None:
    """Show one session: its state, its rules, where it ran before.

    Example:  afx session show main
    """
    with common.reading(database_url):
        from models.storage import assignments, rules, sessions

        session = sessions.find(name)
        fields = sessions.describe(session)
        its_rules = rules.listing(session=session, limit=50).rows
        history = assignments.history(session, limit=10).rows
    if json:
        output.print_json({**fields, "rules": its_rules, "history": history})
        return
    output.print_fields(fields, as_json=False)
    print()
    output.print_table(
        ("RULE", "FROM", "TO", "MODE", "ENABLED"),
        (
            (it["name"], it["sources"], it["destinations"], it["mode"], it["enabled"])
            for it in its_rules
        ),
        empty="It has no rule; add one with 'afx rule add'.",
    )
    print()
    output.print_table(
        ("NODE", "STATE", "ASSIGNED", "RUNNING", "ENDED", "REASON"),
        (
            (
                it["node"],
                it["state"],
                it["assigned_at"],
                it["running_at"],
                it["ended_at"],
                it["reason"],
            )
            for it in history
        ),
        empty="No node has run it yet.",
    )


@app.command()
def pause(
    name: Name,
    wait: waiting.Wait = True,
    timeout: waiting.Timeout = 30.0,
    dry_run: common.DryRun = False,
    redis_url: common.RedisUrl = None,
    database_url: common.DatabaseUrl = None,
    json: common.Json = False,
) -> None:
    """Stop a session; it misses nothing and goes on when resumed.

    Example:  afx session pause main
    """
    _want("paused", "pause", name, wait, timeout, dry_run, redis_url, database_url, json)


@app.command()
def resume(
    name: Name,
    wait: waiting.Wait = True,
    timeout: waiting.Timeout = 30.0,
    dry_run: common.DryRun = False,
    redis_url: common.RedisUrl = None,
    database_url: common.DatabaseUrl = None,
    json: common.Json = False,
) -> None:
    """Let a paused session run again; clears its trouble.

    Example:  afx session resume main
    """
    _want("running", "resume", name, wait, timeout, dry_run, redis_url, database_url, json)


@app.command()
def require(
    name: Name,
    label: Annotated[
        list[str] | None, typer.Argument(help="KEY=VALUE that its node must have; none: any node.")
    ] = None,
    dry_run: common.DryRun = False,
    database_url: common.DatabaseUrl = None,
) -> None:
    """Let a session run only on nodes with certain labels; replaces those of before.

    A session that runs is placed anew, and misses nothing.

    Example:  afx session require main region=eu
    """
    labels = common.labels(label)
    with common.changing(database_url, dry_run=dry_run) as (_, who):
        from afx.operations import sessions

        full, changed = sessions.require(who, name, labels)
    told = ", ".join(f"{key}={value}" for key, value in labels.items()) or "nothing"
    common.say(f"session {full} requires {told}{'' if changed else ' already'}", dry_run=dry_run)


@app.command()
def move(
    name: Name,
    to: Annotated[
        str, typer.Option("--to", help="Its new node.", autocompletion=complete.workers)
    ] = "",
    wait: waiting.Wait = True,
    timeout: waiting.Timeout = 30.0,
    dry_run: common.DryRun = False,
    redis_url: common.RedisUrl = None,
    database_url: common.DatabaseUrl = None,
    json: common.Json = False,
) -> None:
    """Move a session to another node; it stops there before it starts here.

    Example:  afx session move main --to w2
    """
    with common.changing(database_url, dry_run=dry_run, redis_url=redis_url) as (held, who):
        from afx.operations import sessions

        requested = [sessions.move(who, name, to)]
        waiting.finish(
            requested, "move", held=held, wait=wait, timeout=timeout, dry_run=dry_run, as_json=json
        )


@app.command()
def remove(
    name: Name,
    yes: common.Yes = False,
    wait: waiting.Wait = True,
    timeout: waiting.Timeout = 30.0,
    dry_run: common.DryRun = False,
    redis_url: common.RedisUrl = None,
    database_url: common.DatabaseUrl = None,
    json: common.Json = False,
) -> None:
    """Remove a session and its rules, once no node runs it.

    The login at Telegram stays: end it in the account's list of devices.

    Example:  afx session remove main --yes
    """
    with common.changing(database_url, dry_run=dry_run, redis_url=redis_url) as (held, who):
        from afx.operations import sessions
        from models.storage.sessions import find

        common.confirm(f"Remove session '{find(name).name}' and its rules?", yes or dry_run)
        requested = [sessions.remove(who, name)]
        waiting.finish(
            requested,
            "remove",
            held=held,
            wait=wait,
            timeout=timeout,
            dry_run=dry_run,
            as_json=json,
        )


def _want(
    wanted: str,
    what: str,
    name: str,
    wait: bool,
    timeout: float,
    dry_run: bool,
    redis_url: str | None,
    database_url: str | None,
    json: bool,
) -> None:
    with common.changing(database_url, dry_run=dry_run, redis_url=redis_url) as (held, who):
        from afx.operations import sessions

        requested = [sessions.want(who, name, wanted)]
        waiting.finish(
            requested, what, held=held, wait=wait, timeout=timeout, dry_run=dry_run, as_json=json
        )


def _import_many(
    path: Path,
    user: str,
    result: Path | None,
    dry_run: bool,
    database_url: str | None,
    as_json: bool,
) -> None:
    from contextlib import ExitStack

    with ExitStack() as closing:
        held, who = closing.enter_context(common.changing(database_url, dry_run=dry_run))
        from dataclasses import asdict

        from afx.operations import imports
        from afx.operations.imports import Outcome

        done, bad = 0, list[Outcome]()
        file = closing.enter_context(result.open("w")) if result else None

        def told(outcomes: list[Outcome]) -> None:
            nonlocal done
            done += len(outcomes)
            bad.extend(it for it in outcomes if it.status == "bad")
            for it in outcomes if file else ():
                file.write(output.json_line(asdict(it)))  # type: ignore[union-attr]
            if file:
                file.flush()
            output.progress(f"{done} lines, {len(bad)} bad")

        counts = imports.run(who, common.vault(held), path, user=user, told=told)
    output.progress_end()
    for it in bad[:20]:
        print(f"{path}, line {it.line}: {it.reason}", file=sys.stderr)
    if len(bad) > 20:
        print(f"… and {len(bad) - 20} bad lines more; --result FILE lists them", file=sys.stderr)
    total = {status: counts[status] for status in ("added", "present", "bad")}
    if as_json:
        output.print_json(total | ({"dry_run": True} if dry_run else {}))
    else:
        common.say(
            f"{total['added']} sessions added, {total['present']} were here already, "
            f"{total['bad']} lines are bad",
            dry_run=dry_run,
        )
    if total["bad"]:
        raise typer.Exit(4 if total["added"] or total["present"] else 1)
