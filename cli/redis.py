"""afx redis."""

from __future__ import annotations

from cli import common, groups

app = groups.group("The private Redis of this home.")


@app.command()
def status() -> None:
    """Print whether the private Redis runs, and where.

    Example:  afx redis status
    """
    from afx.app import private_redis

    runs, url = private_redis(common.settings())
    print(f"the private Redis {'is running' if runs else 'is not running'} at {url}")


@app.command()
def stop() -> None:
    """Save and stop the private Redis.

    Example:  afx redis stop
    """
    from afx.app import stop_private_redis

    stopped = stop_private_redis(common.settings())
    print("the private Redis has stopped" if stopped else "no private Redis was running")
