"""The examples in the help: every command has one, and each is a line that can be typed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any

import click
import pytest
import typer

from cli.main import app

ROOT: Any = typer.main.get_command(app)
_STOPS = {"|", "<", ">", "&&"}
_EXAMPLE = re.compile(r"\s*(?:Examples?:\s*)?(?:source <\()?(afx [^)]*.*)$")


def commands() -> Iterator[tuple[str, Any]]:
    """Return every command that does something, with its name as it is typed."""

    def walk(command: Any, name: str, parent: Any) -> Iterator[tuple[str, Any]]:
        if not hasattr(command, "list_commands"):
            yield name, command
            return
        context = command.make_context(name, [], parent=parent, resilient_parsing=True)
        for it in command.list_commands(context):
            yield from walk(command.get_command(context, it), f"{name} {it}", context)

    return walk(ROOT, "afx", None)


def examples(command: Any) -> list[str]:
    found = (_EXAMPLE.match(it) for it in (command.help or "").splitlines())
    return [it[1] for it in found if it]


def parse(line: str) -> str:
    """Parse a line as the shell and the program would; returns the command's name."""
    line = re.sub(r"\$\([^)]*\)", "x", line).removesuffix(")")
    words = shlex.split(line, comments=True)
    words = words[1 : next((at for at, it in enumerate(words) if it in _STOPS), len(words))]
    command, name = ROOT, "afx"
    context = command.make_context(name, [], resilient_parsing=True)
    while hasattr(command, "list_commands"):
        word = words.pop(0)
        command = command.get_command(context, word)
        assert command is not None, f"there is no command {word!r}: {line}"
        name = f"{name} {word}"
        context = command.make_context(word, [], parent=context, resilient_parsing=True)
    command.make_context(name, words, parent=context.parent)
    return name


COMMANDS = dict(commands())


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_has_examples_that_can_be_typed(name: str) -> None:
    lines = examples(COMMANDS[name])
    assert lines, f"the help of {name!r} has no example"
    for it in lines:
        try:
            parse(it)
        except click.exceptions.Exit:
            continue  # such as --help
        except click.ClickException as error:
            pytest.fail(f"{it}: {error.format_message()}")
