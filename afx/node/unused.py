"""What libraries load where it is installed, and no node needs: some MiB of each process."""

from __future__ import annotations

import sys

_UNUSED = (
    "rich",  # structlog draws tracebacks with it
    "greenlet",  # structlog asks it for the running one
    "opentelemetry",  # redis counts its commands in it
    "sqlite3",  # Telethon keeps logins in files
)


def leave_out() -> None:
    """Let these seem not to be installed; call it before the libraries are imported."""
    for name in _UNUSED:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]
