"""afx coordinator."""

from __future__ import annotations

import signal

from cli import common, groups

app = groups.group("The coordinator: places sessions on nodes.")


@app.callback()
def group() -> None:
    """The coordinator: places sessions on nodes."""


@app.command()
def start(redis_url: common.RedisUrl = None, database_url: common.DatabaseUrl = None) -> None:
    """Run a coordinator until it is told to stop; several stand by for each other.

    Example:  afx coordinator start --redis-url redis://10.0.0.5:6379
    """
    from afx.coordinator.loop import Coordinator
    from afx.logs import configure

    held = common.settings(redis_url=redis_url, database_url=database_url)
    configure(held.log_level)
    url = common.redis_url(held, start=True)
    with common.database(held):
        coordinator = Coordinator(held, url, common.vault(held))
        signal.signal(signal.SIGTERM, coordinator.request_stop)
        signal.signal(signal.SIGINT, coordinator.request_stop)
        coordinator.run()
