"""afx rebalance."""

from __future__ import annotations

from cli import common, groups, output

app = groups.group("Rebalancing nodes: what would move, and moving it now.")


@app.command()
def plan(
    redis_url: common.RedisUrl = None,
    database_url: common.DatabaseUrl = None,
    json: common.Json = False,
) -> None:
    """Show what the next round would move, without moving it.

    Example:  afx rebalance plan
    """
    held = common.settings(redis_url=redis_url, database_url=database_url)
    with common.redis_client(held) as client, common.database(held):
        from afx.operations import rebalancing

        found = rebalancing.plan(held, client)
    if json:
        output.print_json(found)
        return
    print(f"the fullest node carries {found['imbalance']:.2f} times the mean")
    output.print_table(
        ("SESSION", "FROM", "TO"),
        ((it["session"], it["source"], it["target"]) for it in found["moves"]),
        empty="Nothing would move: the nodes are even enough, or the budget is used up.",
    )


@app.command()
def apply(
    dry_run: common.DryRun = False,
    redis_url: common.RedisUrl = None,
    database_url: common.DatabaseUrl = None,
    json: common.Json = False,
) -> None:
    """Ask for the moves of the plan now, within the budget of an hour.

    Example:  afx rebalance apply
    """
    with common.changing(database_url, dry_run=dry_run, redis_url=redis_url) as (held, who):
        with common.redis_client(held) as client:
            from afx.operations import rebalancing

            found = rebalancing.apply(who, held, client)
    if json:
        output.print_json(found)
    else:
        common.say(f"{len(found['moves'])} moves requested", dry_run=dry_run)
