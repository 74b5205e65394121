"""afx completion."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from cli.main import VARIABLE


class Shell(StrEnum):
    """The shells that can complete."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def completion(
    shell: Shell,
    install: Annotated[
        bool, typer.Option("--install", help="Set it up for your account, for new shells.")
    ] = False,
) -> None:
    """Print what lets a shell complete commands, names and ids; or set it up.

    Example:  source <(afx completion bash)
    """
    from typer.completion import get_completion_script
    from typer.completion import install as set_up

    if install:
        _, path = set_up(shell.value, "afx", VARIABLE)
        print(f"completion for {shell.value} is in {path}; open a new shell to use it")
        return
    print(get_completion_script(prog_name="afx", complete_var=VARIABLE, shell=shell.value))
