"""afx api."""

from __future__ import annotations

from typing import Annotated

import typer

from cli import groups
from cli.shared import Invocation, shared

app = groups.group("The REST API and the dashboard.")


@app.callback()
def main() -> None:
    """The REST API and the dashboard."""


@app.command()
@shared("redis_url", "database_url")
def start(
    invocation: Invocation,
    host: Annotated[
        str | None, typer.Option("--host", help="Where to listen [default: this machine only].")
    ] = None,
    port: Annotated[
        int | None, typer.Option("--port", min=0, max=65535, help="Its port [default: 8720].")
    ] = None,
    certificate: Annotated[
        str | None, typer.Option("--certificate", help="A TLS certificate chain.", metavar="FILE")
    ] = None,
    key: Annotated[
        str | None, typer.Option("--key", help="The certificate's key.", metavar="FILE")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=1, max=64, help="Processes that serve it [default: 1]."),
    ] = None,
    proxy: Annotated[
        bool, typer.Option("--proxy-headers", help="A proxy on this machine says who asks.")
    ] = False,
) -> None:
    """Serve the REST API and the dashboard until stopped.

    The first start prints a token with all scopes.

    Example:  afx api start --port 8720
    """
    import sys

    from afx import app as afx_app

    servers = invocation.open(
        web_host=host,
        web_port=port,
        web_certificate=certificate,
        web_certificate_key=key,
        web_workers=workers,
    )
    afx_app.run_api(servers, notify=lambda line: print(line, file=sys.stderr), behind_proxy=proxy)
