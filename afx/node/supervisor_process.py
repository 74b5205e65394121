"""Entry point of a node's supervisor; ``supervisor_launcher`` starts it."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import sys
from dataclasses import replace
from typing import Any

from afx.garbage import collect_rarely
from afx.node.unused import leave_out
from afx.security.memory import protect_memory

collect_rarely()
leave_out()

from afx.errors import AfxError  # noqa: E402
from afx.logs import configure  # noqa: E402
from afx.node import cores  # noqa: E402
from afx.node.process_group import ProcessGroup  # noqa: E402
from afx.node.supervisor_launcher import become  # noqa: E402
from afx.node_settings import NodeSettings  # noqa: E402


def raise_descriptor_limit() -> None:
    """Let this process and its hosts open as many descriptors as the system allows them."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main() -> int:
    """Run the node until it is stopped; returns the exit code."""
    raise_descriptor_limit()
    protect_memory()  # before the keys arrive
    with os.fdopen(int(sys.argv[1]), "rb") as pipe:
        parameters: dict[str, Any] = json.loads(pipe.read())
    settings = NodeSettings.from_json(parameters["settings"])
    settings = replace(settings, processes=settings.processes or cores.usable())
    configure(settings.log_level)
    try:
        if ProcessGroup(settings, parameters["redis_url"], parameters["node"]).run():
            become(parameters["restart"])
    except AfxError as error:
        if os.environ.get("AFX_DEBUG", "") not in ("", "0"):
            raise
        print(f"afx: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
