"""afx rebalance."""

from __future__ import annotations

from cli import groups, output
from cli.shared import Invocation, shared

app = groups.group("Rebalancing nodes: what would move, and moving it now.")


@app.command()
@shared("redis_url", "database_url", "json")
def plan(invocation: Invocation) -> None:
    """Show what the next round would move, without moving it.

    Example:  afx rebalance plan
    """
    from afx.operations import rebalancing

    found = rebalancing.plan(invocation.context)
    if invocation.json:
        output.print_json(found)
        return
    print(f"the fullest node has {found.imbalance:.2f} times the mean load")
    output.print_table(
        ("SESSION", "FROM", "TO"),
        ((it.session, it.source, it.target) for it in found.moves),
        empty="Nothing would move: the nodes are balanced, or the budget is used up.",
    )


@app.command()
@shared("redis_url", "database_url", "json", change=True)
def apply(invocation: Invocation) -> None:
    """Request the moves of the plan now, within the budget of an hour.

    Example:  afx rebalance apply
    """
    from afx.operations import rebalancing

    found = rebalancing.apply(invocation.context)
    if invocation.json:
        output.print_json(found)
    else:
        invocation.say(f"{len(found.moves)} moves requested")
