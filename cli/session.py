"""afx session."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from cli import common, complete, groups, output, session_change, session_filter, sort_options
from cli.session_bulk import bulk
from cli.session_import import import_
from cli.session_set import Proxy, set_
from cli.shared import Invocation, shared

if TYPE_CHECKING:
    from afx.operations.context import Context
    from afx.operations.sessions import SessionRow

app = groups.group("Sessions: Telegram accounts' logins.")
app.command()(bulk)
app.add_typer(session_change.app, name="change")
app.command("import")(import_)
app.command("set")(set_)
Name = Annotated[
    str,
    typer.Argument(help="A name, an id, or a unique beginning.", autocompletion=complete.sessions),
]
Names = Annotated[
    list[str],
    typer.Argument(
        metavar="NAME", help="Names, ids, or unique beginnings.", autocompletion=complete.sessions
    ),
]
Owner = Annotated[str, typer.Option("--user", help="Who owns it.", autocompletion=complete.users)]


@app.command()
@shared("yes", "redis_url", "database_url", "json", change=True, timeout=30.0)
def login(
    invocation: Invocation,
    name: Annotated[str, typer.Argument(autocompletion=complete.sessions)],
    user: Annotated[
        str, typer.Option("--user", help="Who owns it.", autocompletion=complete.users)
    ] = "",
    again: Annotated[
        bool, typer.Option("--again", help="Give a session that is there a new login.")
    ] = False,
    set_account: Annotated[
        bool,
        typer.Option("--set-account", help="With --again: note whose it is, if it was imported."),
    ] = False,
    phone: Annotated[
        str, typer.Option("--phone", help="With country code [default: it is asked].")
    ] = "",
    qr: Annotated[bool, typer.Option("--qr", help="Sign in by scanning a QR code.")] = False,
    bot_token: Annotated[
        bool,
        typer.Option("--bot-token", help="Sign in as a bot; its token is asked for, or on stdin."),
    ] = False,
    proxy: Proxy = "",
    sandbox: Annotated[
        bool, typer.Option("--sandbox", help="At the local Telegram of this home.")
    ] = False,
) -> None:
    """Sign in to Telegram and add the session: by phone and code, or by QR code.

    The code and the password of two-step verification are asked for. Needs
    AFX_API_ID and AFX_API_HASH of my.telegram.org. With --again the session that
    is there gets the login: it keeps its rules and its position, and misses nothing.
    A session that has a proxy is signed in to through it alone.

    Example:  afx session login main --user alice --qr

    Example:  afx session login main --again

    Example:  afx session login poster --user alice --bot-token < token.txt
    """
    from afx.errors import UsageError
    from afx.operations import proxies, sessions
    from cli.login import ended_unless_kept, sign_in

    context = invocation.context
    if again:
        if proxy:
            raise UsageError("The session has its proxy already; 'afx session set' changes it.")
        _login_again(
            invocation, name, set_account, phone=phone, qr=qr, bot=bot_token, sandbox=sandbox
        )
        return
    if bot_token and (qr or phone):
        raise UsageError("A bot has neither a phone nor a QR code; give --bot-token alone.")
    if not user:
        raise UsageError("Give --user, who owns the session; or --again, if it is there already.")
    owner = sessions.check_new(context, name, user)
    url = proxies.choose(context, proxy=proxy).url if proxy else ""
    if invocation.dry_run:
        # Telegram cannot undo a sign-in, so a dry run has none.
        invocation.say(f"session {name} can be added for user {owner}")
        return
    number = sessions.reserve(context)
    signed = sign_in(
        context.settings,
        phone=phone,
        qr=qr,
        bot=bot_token,
        sandbox=sandbox,
        proxy_url=url,
        device=sessions.device_of(context, number),
    )
    with ended_unless_kept(context.settings, signed, sandbox=sandbox, proxy_url=url):
        session_id = sessions.add(
            context,
            name,
            owner,
            signed.login,
            account=signed.account_id,
            bot=signed.bot,
            proxy=proxy,
            reserved=number,
        )
    _tell_twice(context, signed.account_id)
    invocation.say(f"session {name} added (id {session_id}): it is {signed.account}")


def _login_again(
    invocation: Invocation,
    name: str,
    set_account: bool,
    *,
    phone: str,
    qr: bool,
    bot: bool,
    sandbox: bool,
) -> None:
    """Sign in, and give the login to a session that is there."""
    from afx.operations import proxies, sessions, sign_ins
    from cli.login import ended_unless_kept, sign_in

    context = invocation.context
    row = sign_ins.check_again(context, name, set_account=set_account)
    if invocation.dry_run:
        invocation.say(f"session {row.name} can get a new login")
        return
    found = proxies.of_session(context, row.name)
    url = "" if found is None else found.url
    signed = sign_in(
        context.settings,
        phone=phone,
        qr=qr,
        bot=bot,
        sandbox=sandbox,
        proxy_url=url,
        device=sessions.device_of(context, row.id),
    )
    with ended_unless_kept(context.settings, signed, sandbox=sandbox, proxy_url=url):
        done = sign_ins.replace_login(
            context,
            row.name,
            signed.login,
            account=signed.account_id,
            bot=signed.bot,
            set_account=set_account,
        )
    _tell_twice(context, signed.account_id)
    invocation.finish([done], "resume")


def _tell_twice(context: Context, account: int) -> None:
    """Warn when an account has more sessions than one."""
    from afx.operations import sign_ins

    names = sign_ins.of_account(context, account)
    if len(names) > 1:
        text = f"warning: sessions {', '.join(names)} are of one account, {account}"
        typer.echo(f"{text}; with the same rules they post everything twice.", err=True)


@app.command("list")
@shared("watch", "database_url", "json", pages=True)
def list_(
    invocation: Invocation,
    user: session_filter.User = None,
    tier: session_filter.Tier = None,
    node: session_filter.Node = None,
    state: session_filter.State = None,
    trouble: session_filter.Trouble = False,
    prefix: session_filter.Prefix = "",
    label: session_filter.Label = None,
    health: session_filter.Health = None,
    sort: sort_options.ByName = "name",
) -> None:
    """List sessions by name: where they run and what troubles them.

    Example:  afx session list --user alice --state waiting
    """
    from afx.operations import sessions

    chosen = sessions.SessionFilter(user, tier, node, state, trouble, prefix, label, health)
    invocation.print_list(
        lambda after, limit: sessions.listing(
            invocation.context, chosen, after=after, limit=limit, sort=sort
        ),
        ("ID", "NAME", "USER", "TIER", "STATE", "NODE", "TROUBLE"),
        lambda it: (
            *(it.id, it.name, it.user, it.tier, it.state, it.node),
            it.trouble or it.proxy_error or _health(it) or it.waits or _hibernation(it),
        ),
        empty=output.no(
            "sessions",
            filtered=chosen != sessions.SessionFilter(),
            hint="add one with 'afx session import'",
        ),
        by_id=sort.endswith("id"),
    )


def _health(row: SessionRow) -> str:
    """Return what Telegram lets an account do that is not healthy."""
    return "" if row.health == "healthy" else f"the account is {row.health.replace('_', ' ')}"


def _hibernation(row: SessionRow) -> str:
    """Return why a session hibernates, and when it wakes."""
    if row.wakes_at is None:
        return f"{row.hibernation}: awake for a short time" if row.hibernation else ""
    return f"{row.hibernation}: wakes by {row.wakes_at:%Y-%m-%d %H:%M} UTC"


@app.command()
@shared("database_url", "json")
def show(invocation: Invocation, name: Name) -> None:
    """Show one session: its state, its rules, where it ran before.

    Example:  afx session show main
    """
    from afx.operations import session_budgets, sessions

    found = sessions.show(invocation.context, name)
    budgets = session_budgets.budgets(invocation.context, str(found.session.id))
    fields = asdict(found.session)
    if invocation.json:
        extra = {"rules": found.rules, "history": found.history, "advice": found.advice}
        extra["budgets"] = budgets
        output.print_json({**fields, **extra})
        return
    if found.advice:
        fields["advice"] = found.advice.replace("NAME", found.session.name)
    output.print_fields(fields, as_json=False)
    print()
    output.print_table(
        ("RULE", "FROM", "TO", "MODE", "ENABLED"),
        ((it.name, it.sources, it.destinations, it.mode, it.enabled) for it in found.rules),
        empty="It has no rule; add one with 'afx rule add'.",
    )
    print()
    output.print_table(
        ("NODE", "STATE", "ASSIGNED", "RUNNING", "ENDED", "REASON"),
        (
            (it.node, it.state, it.assigned_at, it.running_at, it.ended_at, it.reason)
            for it in found.history
        ),
        empty="No node has run it yet.",
    )
    if budgets:
        print()
        output.print_table(
            ("BUDGET", "A MINUTE", "LEFT", "SINCE"),
            ((it.of, it.per_minute, it.left, it.since) for it in budgets),
            empty="",
        )


@app.command()
@shared("redis_url", "database_url", "json")
def explain(invocation: Invocation, name: Name) -> None:
    """Explain why a session is on its node, or why it waits.

    Example:  afx session explain main
    """
    from afx.operations import placing

    found = placing.explain(invocation.context, name)
    if invocation.json:
        output.print_json(found)
        return
    print(f"session {found.session}: {found.state}{f' on {found.node}' if found.node else ''}")
    for it in found.why:
        print(it)
    print()
    output.print_table(
        ("NODE", "STATE", "SESSIONS", "COST", "WHY NOT"),
        ((it.node, it.state, it.sessions, it.cost, "; ".join(it.reasons)) for it in found.nodes),
        empty="No node is registered; start one with 'afx worker start'.",
    )


@app.command()
@shared("redis_url", "database_url", "json", change=True, timeout=30.0)
def pause(invocation: Invocation, name: Name) -> None:
    """Stop a session; it misses nothing and continues when resumed.

    Example:  afx session pause main
    """
    from afx.operations import sessions

    invocation.finish([sessions.pause(invocation.context, name)], "pause")


@app.command()
@shared("redis_url", "database_url", "json", change=True, timeout=30.0)
def resume(invocation: Invocation, name: Name) -> None:
    """Let a paused session run again; clears its trouble.

    Example:  afx session resume main
    """
    from afx.operations import sessions

    invocation.finish([sessions.resume(invocation.context, name)], "resume")


@app.command()
@shared("redis_url", "database_url", "json", change=True, timeout=30.0)
def hibernate(invocation: Invocation, names: Names) -> None:
    """Disconnect sessions that need no live connection; they wake from time to time.

    They miss nothing: every 15 minutes (hibernate_poll_minutes) each connects, forwards what
    has come since, and sleeps again. A task or an enabled rule wakes them at once.

    Example:  afx session hibernate main backup
    """
    from afx.operations import sessions

    invocation.finish(sessions.hibernate_all(invocation.context, names), "hibernate")


@app.command()
@shared("redis_url", "database_url", "json", change=True, timeout=30.0)
def wake(invocation: Invocation, names: Names) -> None:
    """Let sessions that hibernate run again, and stay awake.

    Example:  afx session wake main
    """
    from afx.operations import sessions

    invocation.finish(sessions.wake_all(invocation.context, names), "wake")


@app.command()
@shared("database_url", change=True)
def require(
    invocation: Invocation,
    name: Name,
    label: Annotated[
        list[str] | None, typer.Argument(help="KEY=VALUE that its node must have; none: any node.")
    ] = None,
) -> None:
    """Let a session run only on nodes with certain labels; replaces those set before.

    A running session is placed again, and misses nothing.

    Example:  afx session require main region=eu
    """
    from afx.operations import sessions

    labels = common.labels(label)
    full, changed = sessions.require(invocation.context, name, labels)
    required = ", ".join(f"{key}={value}" for key, value in labels.items()) or "nothing"
    invocation.say(f"session {full} {'' if changed else 'already '}requires {required}")


@app.command()
@shared("redis_url", "database_url", "json", change=True, timeout=30.0)
def move(
    invocation: Invocation,
    name: Name,
    to: Annotated[
        str, typer.Option("--to", help="Its new node.", autocompletion=complete.workers)
    ] = "",
) -> None:
    """Move a session to another node; it stops there before it starts here.

    Example:  afx session move main --to w2
    """
    from afx.operations import sessions

    invocation.finish([sessions.move(invocation.context, name, to)], "move")


@app.command()
@shared("yes", "redis_url", "database_url", "json", change=True, timeout=30.0)
def remove(invocation: Invocation, name: Name) -> None:
    """Remove a session and its rules, once no node runs it.

    The login at Telegram stays: end it in the account's list of devices.

    Example:  afx session remove main --yes
    """
    from afx.operations import sessions

    full = sessions.show(invocation.context, name).session.name
    invocation.confirm(f"Remove session '{full}' and its rules?")
    invocation.finish([sessions.remove(invocation.context, full)], "remove")
