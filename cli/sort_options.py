"""The option ``--sort`` of lists, by what each can be sorted."""

from __future__ import annotations

from typing import Annotated

import typer

_ORDER = "The order: {}; a dash before it reverses it."
ById = Annotated[str, typer.Option("--sort", help=_ORDER.format("id"))]
ByName = Annotated[str, typer.Option("--sort", help=_ORDER.format("name or id"))]
ByNameOrSince = Annotated[str, typer.Option("--sort", help=_ORDER.format("name or since"))]
ByIdOrLast = Annotated[str, typer.Option("--sort", help=_ORDER.format("id or last_at"))]
