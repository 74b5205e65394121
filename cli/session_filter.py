"""The options that say which sessions: of ``session list`` and of ``session bulk``."""

from __future__ import annotations

from typing import Annotated

import typer

from cli import complete

User = Annotated[
    str | None, typer.Option("--user", help="Only of this user.", autocompletion=complete.users)
]
Tier = Annotated[
    str | None, typer.Option("--tier", help="Only of this tier.", autocompletion=complete.tiers)
]
Node = Annotated[
    str | None, typer.Option("--node", help="Only on this node.", autocompletion=complete.workers)
]
State = Annotated[
    str | None, typer.Option("--state", help="Only in this state.", autocompletion=complete.states)
]
Trouble = Annotated[bool, typer.Option("--trouble", help="Only with a trouble.")]
Prefix = Annotated[str, typer.Option("--prefix", help="Only names that begin so.")]
Label = Annotated[
    str | None,
    typer.Option("--label", metavar="KEY=VALUE", help="Only those that require a label."),
]
Health = Annotated[
    str | None,
    typer.Option(
        "--health",
        help="Only accounts that are healthy, limited, frozen, …",
        autocompletion=complete.health,
    ),
]
