"""afx sandbox."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from cli import common, complete, groups, output
from cli.shared import Invocation, shared

app = groups.group("A local Telegram, to try rules without an account.")


@app.command()
def start(
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0: a free one.")] = 0,
    json: common.Json = False,
) -> None:
    """Run the sandbox until it is stopped; prints its address.

    Example:  afx sandbox start --port 4430
    """
    from afx.app import run_sandbox

    settings = common.settings()
    run_sandbox(
        settings,
        port=port,
        started=output.print_json if json else partial(_started, settings.home),
    )


def _started(home: Path, address: dict[str, Any]) -> None:
    print(
        f"the sandbox listens on {address['host']}:{address['port']}; home {home}\n"
        "stop it with Ctrl-C or 'afx sandbox stop'; next: 'afx up' runs a cluster with it,\n"
        "'afx sandbox account --session main --user NAME' adds an account as a session\n\n"
        f"Proxies that lead to it: {address['socks5']}\n"
        f"and {address['mtproxy']}\n\n"
        "For other clients: data centre 2, api_id and api_hash of any value, and this key\n"
        f"with the fingerprint {address['fingerprint']} (n and e: 'afx sandbox start --json'):\n"
        f"{address['public_key']}",
        flush=True,
    )


@app.command()
def stop() -> None:
    """Stop the sandbox.

    Example:  afx sandbox stop
    """
    _call("stop")
    print("the sandbox stops")


@app.command()
def info(json: common.Json = False) -> None:
    """Show the sandbox's address, and how much is in it.

    Example:  afx sandbox info
    """
    found = _call("info")
    if not json:
        names = ("host", "port", "pid", "accounts", "channels", "connections", "messages")
        found = {name: found[name] for name in names}
    output.print_fields(found, as_json=json)


@app.command()
@shared("database_url", "json", change=True)
def account(
    invocation: Invocation,
    name: Annotated[str, typer.Option("--name", help="Its first name.")] = "",
    session: Annotated[
        str, typer.Option("--session", help="Add it as this session; needs --user.")
    ] = "",
    session_prefix: Annotated[
        str, typer.Option("--session-prefix", help="Add each as a session PREFIX1, PREFIX2, ….")
    ] = "",
    user: Annotated[
        str, typer.Option("--user", help="Who owns the session.", autocompletion=complete.users)
    ] = "",
    count: Annotated[int, typer.Option("--count", min=1, max=10_000, help="How many.")] = 1,
) -> None:
    """Make accounts and add them as sessions; or print them with their logins, as JSON.

    A login is a password: with --session or --session-prefix it goes into the
    database alone, encrypted.

    Example:  afx sandbox account --session main --user alice

    Example:  afx sandbox account --count 20 --session-prefix s --user alice
    """
    names = _session_names(session, session_prefix, user, count)
    if invocation.dry_run:
        _check_accounts(invocation, names, user, count)
        return
    if not names:
        made = _call("provision", count=count, name=name)
        output.print_json(made[0] if count == 1 else made)
        return
    from afx.operations.sandbox import add_accounts

    added = add_accounts(
        invocation.context, names, user, lambda count: _call("provision", count=count, name=name)
    )
    if invocation.json:
        output.print_json(added)
        return
    for it in added:
        invocation.say(f"session {it.session} added (id {it.id}): account {it.account}")


def _check_accounts(invocation: Invocation, names: list[str], user: str, count: int) -> None:
    """Check what ``account`` would do, and print it; the sandbox undoes nothing."""
    from afx.operations import sessions

    for name in names:
        sessions.check_new(invocation.context, name, user)
    if invocation.json:
        output.print_json({"accounts": count, "sessions": names, "dry_run": True})
    else:
        added = f", added as {', '.join(names)}" if names else ""
        invocation.say(f"accounts that would be made: {count}{added}")


def _session_names(session: str, prefix: str, user: str, count: int) -> list[str]:
    """Return the names of the sessions to add; raises UsageError for options that conflict."""
    from afx.errors import UsageError

    if session and (prefix or count > 1):
        raise UsageError("--session names one session; for more give --session-prefix.")
    if bool(session or prefix) != bool(user):
        raise UsageError("Give --user together with --session or --session-prefix.")
    if session:
        return [session]
    return [f"{prefix}{number}" for number in range(1, count + 1)] if prefix else []


@app.command()
def channel(
    title: str,
    member: Annotated[
        list[int] | None, typer.Option("--member", help="An account's id; may be repeated.")
    ] = None,
    poster: Annotated[
        list[int] | None, typer.Option("--poster", help="A member who may post.")
    ] = None,
    username: Annotated[str, typer.Option("--username", help="Its public name.")] = "",
) -> None:
    """Make a channel; prints it as JSON.

    Example:  afx sandbox channel News --member 1000001 --username news
    """
    channel = {
        "title": title,
        "members": member or [],
        "posters": poster or [],
        "username": username.removeprefix("@"),
    }
    output.print_json(_call("channels", channels=[channel])[0])


@app.command()
def chats(json: common.Json = False) -> None:
    """List channels and groups.

    Example:  afx sandbox chats
    """
    found = _call("chats")
    if json:
        output.print_json(found)
        return
    output.print_table(
        ("ID", "TITLE", "MEMBERS"),
        (list(it.values()) for it in found),
        empty=output.no("chats", filtered=False, hint="make one with 'afx sandbox channel TITLE'"),
    )


@app.command(context_settings={"ignore_unknown_options": True})
def post(
    chat: str,
    text: str,
    author: Annotated[
        int, typer.Option("--author", help="The account that posts; 0: the channel.")
    ] = 0,
) -> None:
    """Post a message to a chat, as its author would.

    Example:  afx sandbox post -1000002000001 'Good morning'
    """
    print(_call("post", chat=_chat(chat), text=text, author=author))


@app.command(context_settings={"ignore_unknown_options": True})
def messages(
    chat: str,
    after: Annotated[int, typer.Option("--after", help="Only messages after this id.")] = 0,
    account: Annotated[
        int, typer.Option("--account", help="The account whose private chat it is.")
    ] = 0,
    json: common.Json = False,
) -> None:
    """List a chat's messages.

    Example:  afx sandbox messages -1000002000001
    """
    found = _call("messages", chat=_chat(chat), after=after, account=account)
    if json:
        output.print_json(found)
        return
    output.print_table(
        ("ID", "SENDER", "TEXT"),
        ((it["id"], it["sender"] or None, it["text"]) for it in found),
        empty=output.no("messages", filtered=after > 0),
    )


@app.command()
def code(phone: str) -> None:
    """Print the sign-in code that was 'sent' to a phone.

    Example:  afx sandbox code +9996611111
    """
    print(_call("code", phone=phone))


@app.command()
def password(account: int, text: str) -> None:
    """Set the password of an account's two-step verification; an empty one turns it off.

    Example:  afx sandbox password 1000001 'correct horse'
    """
    _call("password", account=account, password=text)


@app.command()
def scan(url: str, account: int) -> None:
    """Scan the QR code of a sign-in with an account's phone; URL is the link below the code.

    Example:  afx sandbox scan 'tg://login?token=…' 1000001
    """
    from afx.errors import UsageError

    if not _call("scan", url=url, account=account):
        raise UsageError("No sign-in shows this code, or it has expired; use the newest code.")


@app.command()
def ledger(json: common.Json = False) -> None:
    """Count what was posted, sent, lost, duplicated, out of order; and revoked logins.

    Lost, duplicated and out-of-order copies are counted for the routes that a lab or
    a benchmark has promised; without any they are 0.

    Example:  afx sandbox ledger --json
    """
    found = _call("judge")
    output.print_fields(found, as_json=json)


@app.command()
def flood(
    seconds: float,
    account: Annotated[int, typer.Option("--account", help="0: every account.")] = 0,
    chat: Annotated[int, typer.Option("--chat", help="0: every chat.")] = 0,
) -> None:
    """Answer sends with FLOOD_WAIT for some seconds.

    Example:  afx sandbox flood 30 --account 1000001
    """
    _call("flood", seconds=seconds, account=account, chat=chat)


@app.command()
def drop(
    account: Annotated[int, typer.Option("--account", help="0: every account.")] = 0,
) -> None:
    """Cut connections.

    Example:  afx sandbox drop --account 1000001
    """
    print(f"{_call('drop', account=account)} connections cut", file=sys.stderr)


@app.command()
def delay(seconds: float) -> None:
    """Delay every answer by some seconds; 0 ends it.

    Example:  afx sandbox delay 0.5
    """
    _call("delay", seconds=seconds)


@app.command()
def refuse(
    off: Annotated[bool, typer.Option("--off", help="Accept connections again.")] = False,
) -> None:
    """Refuse new connections.

    Example:  afx sandbox refuse --off
    """
    _call("refuse", on=not off)


@app.command()
def fault(
    message: Annotated[str, typer.Argument(help="Telegram's name of the error.")] = "",
    code: Annotated[int, typer.Option("--code", help="Its code.")] = 500,
    kind: Annotated[
        str,
        typer.Option(
            "--kind",
            help="refuse, fail_after, no_answer, lose_session, slow or transport.",
        ),
    ] = "refuse",
    method: Annotated[str, typer.Option("--method", help="For example messages.sendMessage.")] = "",
    chat: Annotated[int, typer.Option("--chat", help="0: every chat.")] = 0,
    account: Annotated[int, typer.Option("--account", help="0: every account.")] = 0,
    count: Annotated[int, typer.Option("--count", help="So many requests; 0: all.")] = 1,
    seconds: Annotated[float, typer.Option("--seconds", help="How slow, with --kind slow.")] = 0,
    clear: Annotated[bool, typer.Option("--clear", help="End all faults and mischief.")] = False,
) -> None:
    """Let requests fail: the next ones that match are refused, or lose their answer.

    Example:  afx sandbox fault CHAT_WRITE_FORBIDDEN --code 403 --method messages.sendMessage
    """
    if clear:
        _call("no_faults")
        return
    values = {"message": message, "code": code, "method": method, "chat": chat}
    found = _call("fault", kind=kind, account=account, count=count, seconds=seconds, **values)
    output.print_json(found)


@app.command()
def mischief(
    share: Annotated[
        list[str] | None,
        typer.Argument(metavar="KIND=SHARE", help="For example omitted=0.05; none: end it."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="The same seed does the same.")] = 0,
) -> None:
    """Omit, delay, double or reorder pushes, lose answers, let replicas lag, by chance.

    Kinds: omitted, doubled, late, too_long, short, combined, empty, lost_answers,
    failed_answers, lost_sessions, lagging, shuffled.

    Example:  afx sandbox mischief omitted=0.05 doubled=0.05 late=0.1 --seed 7
    """
    output.print_json(_call("mischief", seed=seed, **dict(_share(it) for it in share or [])))


def _share(text: str) -> tuple[str, float]:
    from afx.errors import UsageError

    name, _, value = text.partition("=")
    try:
        share = float(value)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise UsageError(f"'{text}' gives no share; write KIND=SHARE, from 0 to 1.")
    return name, share


def _chat(text: str) -> int:
    from afx.errors import UsageError

    if text.startswith("@"):
        return int(_call("resolve", name=text))
    try:
        return int(text)
    except ValueError:
        raise UsageError(f"'{text}' names no chat; give an @name or an id.") from None


def _call(name: str, /, **arguments: Any) -> Any:
    from afx.app import sandbox_client

    with sandbox_client(common.settings()) as client:
        return client.call(name, **arguments)
