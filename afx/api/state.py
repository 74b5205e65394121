"""What one API process has: its servers, threads, credentials, cursors and events."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from starlette.requests import Request

from afx.api.change_runner import ChangeRunner
from afx.api.credentials import Credentials
from afx.api.cursors import Cursors
from afx.api.hub import Hub
from afx.api.kept import Kept
from afx.api.messages import Messages
from afx.api.threads import Threads
from afx.api.traffic import Traffic
from afx.errors import UsageError
from afx.operations.context import Context, Servers
from afx.operations.tokens import ValidToken


@dataclass(slots=True, frozen=True)
class Api:
    """All of it; complete before the first request."""

    servers: Servers
    system: Context
    """Of the API itself, for what no token asks."""
    threads: Threads
    credentials: Credentials
    cursors: Cursors
    hub: Hub
    traffic: Traffic
    kept: Kept
    messages: Messages
    changes: ChangeRunner


def api_of(request: Request) -> Api:
    """Return the API that a request came to."""
    found: Api = request.app.state.api
    return found


def token_of(request: Request) -> ValidToken:
    """Return the token of a request that the gate has let in."""
    found: ValidToken = request.state.token
    return found


def context_of(
    request: Request, *, expects: Callable[[], None] | None = None, changes: bool = False
) -> Context:
    """Return what the operations need for a request; ``changes`` reads reason and dry run."""
    dry_run, reason = "false", ""
    if changes:
        query = request.query_params
        for name in ("dry_run", "reason"):
            if len(query.getlist(name)) > 1:
                raise UsageError(f"{name} is given twice; say it once. Nothing was changed.")
        dry_run, reason = query.get("dry_run", "false"), query.get("reason", "")
    if dry_run not in ("true", "false"):
        raise UsageError("dry_run is true or false; correct it. Nothing was changed.")
    servers = api_of(request).servers
    return Context(token_of(request).actor, servers, dry_run == "true", reason, True, expects)
