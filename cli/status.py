"""afx status."""

from __future__ import annotations

from collections import Counter

from cli import common


def status(
    redis_url: common.RedisUrl = None,
    database_url: common.DatabaseUrl = None,
    json: common.Json = False,
) -> None:
    """Show the cluster in a few lines: leader, nodes, sessions, what waits.

    Example:  afx status --json
    """
    from afx.cluster import keys
    from afx.cluster.connection import connect, reachable
    from afx.cluster.registry import LIVE_STATES, Registry
    from models.storage import queue, sessions

    held = common.settings(redis_url=redis_url, database_url=database_url)
    url = common.redis_url(held)
    with reachable(url), common.database(held):
        client = connect(url)
        nodes = Registry(client).all()
        leader = bool(client.exists(keys.LEADER))
        term = int(client.get(keys.TERM) or 0)
        client.close()
        listed = sessions.listing()
        waiting = len(queue.listing())
    states = Counter(it["state"] or ("paused" if it["wanted"] != "running" else "unplaced")
                     for it in listed)  # fmt: skip
    live = [it for it in nodes if it.state in LIVE_STATES]
    answer = {
        "leader": leader, "term": term, "nodes": len(live), "nodes_known": len(nodes),
        "sessions": dict(states), "waiting": waiting,
        "forwarded": sum(it.metrics.forwarded for it in live),
        "troubled": sum(bool(it["trouble"]) for it in listed),
        "sandbox": (held.home / "sandbox.json").exists(),
    }  # fmt: skip
    if json:
        common.print_json(answer)
        return
    print(f"coordinator  {'leads' if leader else 'NONE LEADS'} (term {term})")
    print(f"nodes        {len(live)} live of {len(nodes)} known")
    told = ", ".join(f"{count} {state}" for state, count in sorted(states.items())) or "none"
    print(f"sessions     {told}")
    print(f"waiting      {waiting} fit nowhere")
    print(f"forwarded    {answer['forwarded']} messages by the live nodes")
    if answer["troubled"]:
        print(f"troubled     {answer['troubled']} sessions: see 'afx session list'")
    if answer["sandbox"]:
        print("sandbox      a local Telegram runs here: nothing goes to the real one")
