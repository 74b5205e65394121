"""The ``afx`` command."""

from __future__ import annotations

import errno
import os
import signal
import sys
from importlib import import_module
from typing import Any

import typer

from afx.errors import AfxError, OutputError, UnreachableError
from afx.garbage import collect_rarely
from cli import common, groups, shells, streams

COMMANDS = {
    "up": "Run a whole cluster on this machine; Ctrl-C ends it cleanly.",
    "demo": "See a cluster forward messages, lose a node, and lose no message.",
    "status": "Show the cluster in a few lines: leader, nodes, sessions, overflow queue.",
    "top": "Watch the nodes at work: load, RAM, CPU, sessions, messages a second, events.",
    "doctor": "Check this installation: each finding with its remedy.",
    "verify": "Run the nine verification tests, and say what each measured.",
    "coordinator": "The coordinator: places sessions on nodes.",
    "worker": "Worker nodes: they run the sessions.",
    "user": "Users: the customers who own sessions.",
    "session": "Sessions: Telegram accounts' logins.",
    "proxy": "Proxies: the ways by which sessions reach Telegram.",
    "rule": "Rules: which chats are forwarded, and where to.",
    "rebalance": "Rebalancing nodes: what would move, and moving it now.",
    "scale": "Scaling: how many nodes the cluster should have, and why.",
    "overflow": "The overflow queue: sessions that are unschedulable and wait for room.",
    "task": "Tasks: work that sessions do on request, once.",
    "queue": "Queues of tasks: how full they are, emptying them.",
    "explain": "Explain a kind of task: what it does, its arguments, its result.",
    "control": "Controls: commands to nodes and about sessions.",
    "analytics": "What was: nodes' metrics over time, sessions.",
    "audit": "The audit log: who changed what.",
    "api": "The REST API and the dashboard.",
    "token": "Tokens: who may use the REST API and the dashboard, and for what.",
    "webhook": "Webhooks: URLs that are told of events, such as a lost node.",
    "config": "Settings: what is in force, and from where.",
    "db": "The database: schema, backup, restore.",
    "redis": "The private Redis of this home.",
    "completion": "Print the script by which a shell completes commands and names; or install it.",
    "sandbox": "A local Telegram, to try rules without an account.",
}
"""Each command's module is imported when it is called: help stays fast."""


class _Commands(groups.Group):
    """The commands by name, each loaded from ``cli.NAME`` on its first use."""

    OPTIONS = (
        ("--version", "Print the version."),
        ("--debug", "Show tracebacks of errors; also AFX_DEBUG=1."),
        *groups.Group.OPTIONS,
    )

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        # Only their names: `get_command` loads a command when it is asked for.
        self.commands: Any = dict.fromkeys(COMMANDS)

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
        return load(cmd_name) if cmd_name in COMMANDS else None

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args[:1] == ["--version"]:
            from afx import __version__

            print(__version__)
            raise typer.Exit
        while args[:1] == ["--debug"]:
            args = args[1:]
        return super().parse_args(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def load(name: str) -> Any:
    """Return a command by name."""
    module = import_module(f"cli.{name}")
    app = getattr(module, "app", None)
    if app is None:
        app = groups.group(COMMANDS[name])
        app.command(name)(getattr(module, name))
    command = typer.main.get_command(app)
    command.name = name
    return command


app = groups.group(
    "AutoForwardX: Telegram forwarding for thousands of sessions, on a cluster.",
    cls=_Commands,
    name="afx",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def main() -> None:
    """AutoForwardX: Telegram forwarding for thousands of sessions, on a cluster.

    Try it:  afx demo

    Run it:  afx up --workers 3
    """


def run() -> None:
    """Run the command line; errors become one sentence and an exit code."""
    collect_rarely()
    try:
        code = _guarded()
    except KeyboardInterrupt:
        # It came while the command ended, or told what went wrong.
        code = _INTERRUPTED
    sys.exit(code)


def _guarded() -> int:
    """Run the command line with standard streams that it can rely on; returns the exit code."""
    try:
        streams.guard()
        code = _command()
        sys.stdout.flush()
    except OutputError as error:
        if sys.stdout is not None:
            streams.abandon()
        code = error.exit_code
        if not isinstance(error, streams.ReaderGoneError):
            common.fail(error)
    return code


def _command() -> int:
    """Run the command that the arguments name; returns the exit code."""
    # SIGTERM ends the program by an exception: `with` blocks run their exits.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        if instruction := os.environ.get(shells.VARIABLE):
            return shells.complete(typer.main.get_command(app), instruction)
        app(prog_name="afx")
    except SystemExit as ending:
        return ending.code if isinstance(ending.code, int) else int(bool(ending.code))
    except KeyboardInterrupt:
        return _INTERRUPTED
    except OutputError:
        raise
    except Exception as error:
        if common.debugging():
            raise
        return common.fail(_sentence(error))
    return 0


_INTERRUPTED = 130
"""The exit code of a shell's command that SIGINT has ended."""
_ADVICE = {
    errno.ENOSPC: "; make room on the disk of AFX_HOME, and try again",
    errno.EROFS: "; set AFX_HOME to a directory that can be written",
    errno.EACCES: "; correct its owner or mode, or set AFX_HOME to another directory",
    errno.EMFILE: "; raise the limit of open files (ulimit -n)",
}
"""What to do about an error of the system."""


def _sentence(error: Exception) -> Exception:
    """Return an error that a person can act on."""
    if isinstance(error, AfxError):
        return error
    if type(error).__module__.partition(".")[0] == "redis":
        return UnreachableError(f"Redis does not answer or refused a command: {error}.")
    if isinstance(error, OSError):
        place = f" ({error.filename})" if error.filename else ""
        return AfxError(f"{error.strerror or error}{place}{_ADVICE.get(error.errno or 0, '')}.")
    return AfxError(
        f"Something unforeseen happened ({type(error).__name__}: {error}); "
        "run the command again with --debug and report what it prints."
    )


if __name__ == "__main__":
    run()
