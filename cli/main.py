"""The ``afx`` command."""

from __future__ import annotations

import signal
import sys
from typing import Annotated

import typer

from cli import (
    analytics,
    audit,
    common,
    config,
    control,
    coordinator,
    db,
    demo,
    doctor,
    redis,
    rule,
    sandbox,
    session,
    status,
    top,
    up,
    user,
    worker,
)

app = typer.Typer(
    name="afx",
    help="AutoForwardX: Telegram forwarding for thousands of sessions, on a cluster.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for name, module in (
    ("coordinator", coordinator), ("worker", worker), ("user", user), ("session", session),
    ("rule", rule), ("control", control), ("analytics", analytics), ("audit", audit),
    ("config", config), ("db", db), ("redis", redis), ("sandbox", sandbox),
):  # fmt: skip
    app.add_typer(module.app, name=name)
app.command("up")(up.up)
app.command("demo")(demo.demo)
app.command("status")(status.status)
app.command("top")(top.top)
app.command("doctor")(doctor.doctor)


def _version(wanted: bool) -> None:
    if wanted:
        from afx import __version__

        print(__version__)
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")] = False,
) -> None:
    """AutoForwardX: Telegram forwarding for thousands of sessions, on a cluster.

    Try it:  afx demo

    Run it:  afx up --workers 3
    """


def run() -> None:
    """Run the command line; errors become one sentence and an exit code."""
    # So that whatever was started is ended: `with` blocks run their exits.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except Exception as error:
        if common.debugging():
            raise
        sys.exit(common.fail(_told(error)))


def _told(error: Exception) -> Exception:
    """Return an error that a person can act on."""
    from afx.errors import AfxError, UnreachableError

    if isinstance(error, AfxError):
        return error
    module = type(error).__module__.partition(".")[0]
    if module in ("peewee", "psycopg", "psycopg_pool", "sqlite3"):
        reason = str(error).partition("\n")[0]
        return UnreachableError(f"The database failed ({reason}); nothing was written.")
    if module == "redis":
        return UnreachableError(f"Redis does not answer or refused a command: {error}.")
    if isinstance(error, OSError):
        place = f" ({error.filename})" if error.filename else ""
        return AfxError(f"{error.strerror or error}{place}.")
    return AfxError(
        f"Something unforeseen happened ({type(error).__name__}: {error}); "
        "run the command again with --debug and report what it prints."
    )


if __name__ == "__main__":
    run()
