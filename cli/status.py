"""afx status."""

from __future__ import annotations

from typing import Any

from cli import common, output


def status(
    redis_url: common.RedisUrl = None,
    database_url: common.DatabaseUrl = None,
    watch: output.Watch = False,
    json: common.Json = False,
) -> None:
    """Show the cluster in a few lines: leader, nodes, sessions, overflow queue.

    Exits 3 when no coordinator leads.

    Example:  afx status --watch
    """
    import typer

    held = common.settings(redis_url=redis_url, database_url=database_url)
    leads = True
    with common.redis_client(held) as client, common.database(held):
        from afx.cluster import keys
        from afx.cluster.registry import LIVE_STATES, Registry
        from models.storage import controls, sessions

        def draw() -> None:
            nonlocal leads
            nodes = Registry(client).all()
            leader = str(client.get(keys.LEADER) or "")
            leads = bool(leader)
            live = [it for it in nodes if it.state in LIVE_STATES]
            states = sessions.count_by_state()
            troubled = states.pop("troubled")
            answer = {
                "leader": leader.rpartition(":")[0] or None,
                "term": int(client.get(keys.TERM) or 0),
                "nodes": len(live),
                "nodes_known": len(nodes),
                "not_ready": {it.name: it.state for it in live if it.state != "ready"},
                "sessions": {state: count for state, count in states.items() if count},
                "waiting": states["waiting"],
                "troubled": troubled,
                "forwarded": sum(it.metrics.forwarded for it in live),
                "controls": len(controls.open_ones()),
                "sandbox": (held.home / "sandbox.json").exists(),
            }
            if json:
                output.print_json(answer)
            else:
                _show(answer)

        output.repeat(draw, watch)
    if not leads:
        raise typer.Exit(3)


def _show(answer: dict[str, Any]) -> None:
    leads = f"{answer['leader']} leads" if answer["leader"] else "NONE LEADS"
    print(f"coordinator  {leads} (term {answer['term']})")
    odd = ", ".join(f"{name} {state}" for name, state in answer["not_ready"].items())
    print(
        f"nodes        {answer['nodes']} live of {answer['nodes_known']} known"
        + (f" ({odd})" if odd else "")
    )
    told = ", ".join(f"{count} {state}" for state, count in answer["sessions"].items()) or "none"
    print(f"sessions     {told}")
    hint = ": see 'afx overflow list'" if answer["waiting"] else ""
    print(f"waiting      {answer['waiting']} fit nowhere{hint}")
    print(f"forwarded    {answer['forwarded']} messages by the live nodes")
    if answer["controls"]:
        print(f"controls     {answer['controls']} under way: see 'afx control list --open'")
    if answer["troubled"]:
        print(f"troubled     {answer['troubled']} sessions: see 'afx session list --trouble'")
    if answer["sandbox"]:
        print("sandbox      a local Telegram runs here: nothing goes to the real one")
