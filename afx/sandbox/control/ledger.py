"""Calls about the ledger: what is promised, and the verdict."""

from __future__ import annotations

from typing import Any

from afx.sandbox.control.calls import Sandbox, call


@call
def expect(sandbox: Sandbox, routes: list[list[int]]) -> int:
    """Promise copies: [source, destination, account] each; returns how many are promised."""
    for source, destination, account in routes:
        sandbox.server.ledger.expect(source, destination, account)
    return len(sandbox.server.ledger.routes)


@call
def forget_routes(sandbox: Sandbox) -> bool:
    """Promise nothing any more."""
    sandbox.server.ledger.routes.clear()
    return True


@call
def judge(sandbox: Sandbox) -> dict[str, Any]:
    """Return the verdict over all promised routes (see ``Verdict``)."""
    return sandbox.server.ledger.judge().to_json()


@call
def span(sandbox: Sandbox) -> float:
    """Return the seconds from the first promised post to the newest copy."""
    return sandbox.server.ledger.span()


@call
def missing(sandbox: Sandbox, most: int = 20) -> list[dict[str, Any]]:
    """Return promised copies that are not there."""
    return sandbox.server.ledger.missing(most)


@call
def altered(sandbox: Sandbox, most: int = 20) -> list[dict[str, Any]]:
    """Return copies that do not say what their source says."""
    return sandbox.server.ledger.altered(most)


@call
def changes(sandbox: Sandbox, after: int = 0, most: int = 100) -> list[dict[str, Any]]:
    """Return edits and deletes, oldest first; ``after`` leaves out so many of the oldest."""
    return sandbox.server.ledger.changes(after, most)


@call
def overlaps(sandbox: Sandbox) -> list[dict[str, Any]]:
    """Return the logins that were used on two connections at once."""
    return sandbox.server.connections.overlap_rows()


@call
def first_copies(sandbox: Sandbox, since: dict[str, float]) -> dict[str, float]:
    """Return when each account first copied after its time (this machine's monotonic s)."""
    found = sandbox.server.ledger.first_copies({int(k): v for k, v in since.items()})
    return {str(k): v for k, v in found.items()}
