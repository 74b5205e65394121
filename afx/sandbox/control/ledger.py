"""Calls about the ledger: what is promised, and the verdict."""

from __future__ import annotations

from typing import Any

from afx.sandbox.control.calls import Sandbox, call
from afx.sandbox.judge.ledger import Expected
from afx.sandbox.telegram.boxes import Content


@call
def expect(sandbox: Sandbox, routes: list[list[int]], only: str = "", wrapped: str = "") -> int:
    """Promise copies: [source, destination, account] each; returns how many are promised.

    ``only``: no copy of what has not this in its text. ``wrapped``: the text of a copy, in
    which ``{}`` is that of its source.
    """
    expected = _expected(only, wrapped) if only or wrapped else None
    for source, destination, account in routes:
        sandbox.server.ledger.expect(source, destination, account, expected)
    return len(sandbox.server.ledger.routes)


def _expected(only: str, wrapped: str) -> Expected:
    def expected(content: Content) -> Content | None:
        if only not in content.text:
            return None
        text = wrapped.replace("{}", content.text) if wrapped else content.text
        return content._replace(text=text)

    return expected


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
