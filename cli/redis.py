"""afx redis."""

from __future__ import annotations

from cli import common, groups

app = groups.group("The private Redis of this home.")


@app.command()
def status() -> None:
    """Tell whether the private Redis runs, and where."""
    from afx.local import private_redis

    held = common.settings()
    state = "runs" if private_redis.is_running(held.home) else "does not run"
    print(f"the private Redis {state} at {private_redis.url_for(held.home)}")


@app.command()
def stop() -> None:
    """Save and stop the private Redis."""
    from afx.local import private_redis

    stopped = private_redis.stop(common.settings().home)
    print("the private Redis has stopped" if stopped else "no private Redis ran")
