"""afx completion."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cli.shells import SCRIPTS


class Shell(StrEnum):
    """The shells that can complete."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


_PLACES = {
    Shell.BASH: (".bash_completions/afx.sh", ".bashrc", "source ~/.bash_completions/afx.sh"),
    Shell.ZSH: (".zfunc/_afx", ".zshrc", "fpath+=~/.zfunc; autoload -Uz compinit; compinit"),
    Shell.FISH: (".config/fish/completions/afx.fish", "", ""),
}
"""Per shell: the script's file, the file that must load it, and the line for that."""


def completion(
    shell: Shell,
    install: Annotated[
        bool, typer.Option("--install", help="Set it up for your account, for new shells.")
    ] = False,
) -> None:
    """Print the script by which a shell completes commands and names; or install it.

    Example:  source <(afx completion bash)
    """
    if not install:
        print(SCRIPTS[shell.value], end="")
        return
    name, startup, line = _PLACES[shell]
    path = Path.home() / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(SCRIPTS[shell.value])
    if startup:
        _add_line(Path.home() / startup, line)
    print(f"completion for {shell.value} is in {path}; open a new shell to use it")


def _add_line(path: Path, line: str) -> None:
    """Add a line to a file, unless it has it already."""
    text = path.read_text() if path.exists() else ""
    if line not in text.splitlines():
        end = "" if not text or text.endswith("\n") else "\n"
        path.write_text(f"{text}{end}{line}\n")
