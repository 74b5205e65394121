"""Groups of commands whose help does not wait for anything heavy."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

_HELP = ("-h", "--help")


class Group(TyperGroup):
    """A group that reads its few options itself.

    Typer loads Pydantic for the first option that it reads, even for an absent
    ``--help``: that would double the time of every help below the group.
    """

    OPTIONS: tuple[tuple[str, str], ...] = (("-h, --help", "Show this message and exit."),)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Show the help if it is asked for, else go on to the command."""
        if args[:1] and args[0] in _HELP:
            print(self.get_help(ctx))
            raise typer.Exit
        return super().parse_args(ctx, args)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the options, and the commands below them."""
        with formatter.section("Options"):
            formatter.write_dl(list(self.OPTIONS))
        self.format_commands(ctx, formatter)


def group(text: str, cls: type[Group] = Group, **options: Any) -> typer.Typer:
    """Return an empty group of commands; ``text`` is its help."""
    return typer.Typer(
        cls=cls,
        help=text,
        no_args_is_help=True,
        add_help_option=False,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        **options,
    )
