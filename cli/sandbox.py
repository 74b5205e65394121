"""afx sandbox."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from cli import common, groups, output

app = groups.group("A local Telegram, to try rules without an account.")


@app.command()
def start(
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0: a free one.")] = 0,
) -> None:
    """Run the sandbox until it is told to stop; prints its address as JSON.

    Example:  afx sandbox start --port 4430
    """
    from afx.app import run_sandbox

    run_sandbox(common.settings(), port=port)


@app.command()
def info(json: common.Json = False) -> None:
    """Tell what runs in the sandbox."""
    found = _call("info")
    if json:
        output.print_json(found)
        return
    for name in ("host", "port", "pid", "accounts", "channels", "connections", "messages"):
        print(f"{name:<12} {found[name]}")


@app.command()
def account(
    name: Annotated[str, typer.Option("--name", help="Its first name.")] = "",
) -> None:
    """Make an account; prints it with its login, as JSON.

    Example:  afx sandbox account | jq -r .login | afx session import main --user alice
    """
    output.print_json(_call("provision", count=1, name=name)[0])


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
    """List channels and groups."""
    found = _call("chats")
    if json:
        output.print_json(found)
        return
    output.print_table(
        ("ID", "TITLE", "MEMBERS"),
        (list(it.values()) for it in found),
        empty="There is no chat; make one with 'afx sandbox channel TITLE'.",
    )


@app.command(context_settings={"ignore_unknown_options": True})
def post(
    chat: str,
    text: str,
    author: Annotated[int, typer.Option("--author", help="Who posts; 0: the channel.")] = 0,
) -> None:
    """Post a message to a chat, as its author would.

    Example:  afx sandbox post -1000002000001 'Good morning'
    """
    print(_call("post", chat=_chat(chat), text=text, author=author))


@app.command(context_settings={"ignore_unknown_options": True})
def messages(
    chat: str,
    after: Annotated[int, typer.Option("--after", help="Only messages after this id.")] = 0,
    account: Annotated[int, typer.Option("--account", help="Whose box, for private chats.")] = 0,
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
        empty="The chat holds no such message.",
    )


@app.command()
def code(phone: str) -> None:
    """Tell the sign-in code that was 'sent' to a phone."""
    print(_call("code", phone=phone))


@app.command()
def password(account: int, text: str) -> None:
    """Turn two-step verification of an account on; an empty text turns it off."""
    _call("password", account=account, password=text)


@app.command()
def scan(url: str, account: int) -> None:
    """Scan the QR code of a sign-in with an account's phone; by the link below it."""
    from afx.errors import UsageError

    if not _call("scan", url=url, account=account):
        raise UsageError("Nobody shows such a code now, or it has expired; take the newest.")


@app.command()
def ledger(json: common.Json = False) -> None:
    """Judge the promised routes: lost, doubled, out of order, revoked."""
    found = _call("judge")
    if json:
        output.print_json(found)
        return
    for name, value in found.items():
        print(f"{name:<14} {value}")


@app.command()
def flood(
    seconds: float,
    account: Annotated[int, typer.Option("--account", help="0: every account.")] = 0,
    chat: Annotated[int, typer.Option("--chat", help="0: every chat.")] = 0,
) -> None:
    """Answer sends with FLOOD_WAIT for some seconds."""
    _call("flood", seconds=seconds, account=account, chat=chat)


@app.command()
def drop(
    account: Annotated[int, typer.Option("--account", help="0: every account.")] = 0,
) -> None:
    """Cut connections."""
    print(f"{_call('drop', account=account)} connections cut", file=sys.stderr)


@app.command()
def delay(seconds: float) -> None:
    """Hold back every answer for so long; 0 ends it."""
    _call("delay", seconds=seconds)


@app.command()
def refuse(
    off: Annotated[bool, typer.Option("--off", help="Take connections again.")] = False,
) -> None:
    """Refuse new connections."""
    _call("refuse", on=not off)


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
