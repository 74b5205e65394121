"""afx proxy."""

from __future__ import annotations

import getpass
import sys
from typing import Annotated

import typer

from cli import common, complete, groups, output
from cli.shared import Invocation, shared

app = groups.group("Proxies: the ways by which sessions reach Telegram.")
Name = Annotated[
    str, typer.Argument(help="As 'afx proxy list' shows it.", autocompletion=complete.proxies)
]
Pool = Annotated[str, typer.Option("--pool", help="Of this pool.")]


@app.command()
@shared("database_url", "json", change=True)
def add(
    invocation: Invocation,
    name: Annotated[str, typer.Argument(help="Its name.")],
    pool: Annotated[str, typer.Option("--pool", help="Sessions may get any proxy of a pool.")] = "",
    require: Annotated[
        list[str] | None,
        typer.Option(
            "--require",
            metavar="KEY=VALUE",
            help="Labels of the nodes from which it can be reached; repeat it.",
        ),
    ] = None,
) -> None:
    """Add a proxy; its address is asked for, or read from standard input: it has a password.

    socks5://USER:PASSWORD@HOST:PORT, http://USER:PASSWORD@HOST:PORT (CONNECT),
    mtproxy://SECRET@HOST:PORT, or a link of Telegram for one. It is stored encrypted.

    Example:  afx proxy add eu-1 --pool eu < proxy.txt
    """
    from afx.operations import proxies

    labels = common.labels(require)
    url = _read_url()
    made = proxies.add(invocation.context, name, url, pool=pool, requires=labels)
    if invocation.json:
        output.print_json({"id": made, "name": name, "dry_run": invocation.dry_run})
    else:
        invocation.say(f"proxy {name} added")


def _read_url() -> str:
    if sys.stdin.isatty():
        return getpass.getpass("The proxy's address: ", sys.stderr)
    return sys.stdin.readline()


@app.command("list")
@shared("database_url", "json", pages=True)
def list_(invocation: Invocation, pool: Pool = "") -> None:
    """List proxies by name: whether they work, and how many sessions have each.

    Example:  afx proxy list --pool eu
    """
    from afx.operations import proxies

    invocation.print_list(
        lambda after, limit: proxies.listing(
            invocation.context, pool=pool, after=after, limit=limit
        ),
        ("NAME", "POOL", "KIND", "HOST", "PORT", "STATE", "SESSIONS", "CHECKED", "ERROR"),
        lambda it: (
            *(it.name, it.pool, it.kind, it.host, it.port),
            *(it.state, it.sessions, it.checked_at, it.error),
        ),
        empty=output.no("proxies", filtered=bool(pool), hint="'afx proxy add' makes one"),
    )


@app.command()
@shared("yes", "database_url", change=True)
def remove(invocation: Invocation, name: Name) -> None:
    """Remove a proxy that no session has.

    Example:  afx proxy remove eu-1 --yes
    """
    from afx.operations import proxies

    full = proxies.show(invocation.context, name).name
    invocation.confirm(f"Remove proxy '{full}'?")
    invocation.say(f"proxy {proxies.remove(invocation.context, full)} removed")


@app.command()
@shared("database_url", "json", change=True)
def check(
    invocation: Invocation,
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME", help="Names [default: all].", autocompletion=complete.proxies
        ),
    ] = None,
    pool: Pool = "",
    sandbox: Annotated[
        bool, typer.Option("--sandbox", help="Towards the local Telegram of this home.")
    ] = False,
) -> None:
    """Try whether Telegram answers through proxies, from this machine, without an account.

    What is found is stored. Exits with 1 when one fails.

    Example:  afx proxy check eu-1 eu-2
    """
    from afx import app as composition
    from afx.operations import proxies

    found = proxies.opened(invocation.context, names or (), pool=pool)
    checks = composition.check_proxies(
        invocation.context.settings, [it.url for it in found], sandbox=sandbox
    )
    proxies.note_checks(
        invocation.context, [(it.id, check.error) for it, check in zip(found, checks, strict=True)]
    )
    rows = [
        {
            "name": it.name,
            "state": "fails" if check.error else "works",
            "milliseconds": check.milliseconds,
            "error": check.error,
        }
        for it, check in zip(found, checks, strict=True)
    ]
    if invocation.json:
        output.print_json(rows)
    else:
        output.print_table(
            ("NAME", "STATE", "MS", "ERROR"),
            ((it["name"], it["state"], it["milliseconds"], it["error"]) for it in rows),
            empty="There is no proxy; 'afx proxy add' makes one.",
        )
    if any(it.error for it in checks):
        raise typer.Exit(1)
