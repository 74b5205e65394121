"""afx redis."""

from __future__ import annotations

from cli import common, groups

app = groups.group("The private Redis of this home.")


@app.command()
def status() -> None:
    """Print whether the private Redis runs, and where."""
    from afx.local import private_redis

    settings = common.settings()
    state = "is running" if private_redis.is_running(settings.home) else "is not running"
    print(f"the private Redis {state} at {private_redis.url_for(settings.home)}")


@app.command()
def stop() -> None:
    """Save and stop the private Redis."""
    from afx.local import private_redis

    stopped = private_redis.stop(common.settings().home)
    print("the private Redis has stopped" if stopped else "no private Redis was running")
