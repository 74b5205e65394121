"""How commands show what waits for the digests of rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli import output

if TYPE_CHECKING:
    from afx.operations.rule_digests import Collected
    from cli.shared import Invocation


def by_rule(
    invocation: Invocation, *, rule: str | None = None, session: str | None = None
) -> dict[int, Collected]:
    """Return what waits, by the ids of the rules that have digests."""
    from afx.operations import rule_digests

    found = rule_digests.listing(invocation.context, rule=rule, session=session)
    return {it.rule_id: it for it in found}


def cell(it: Collected | None) -> str:
    """Return what a list says of a rule: nothing without digests."""
    if it is None:
        return ""
    if it.due_at is None:
        return "nothing waits"
    return f"{it.waiting:,} wait, due {output.cell(it.due_at)}"
