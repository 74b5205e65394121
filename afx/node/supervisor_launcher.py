"""How the command that starts a node becomes the node's supervisor."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from afx.errors import AfxError
from afx.node_settings import NodeSettings

_MOST_BYTES = 60_000
"""A pipe takes so much before somebody reads."""


def become_supervisor(
    settings: NodeSettings, *, redis_url: str, node: str, restart: Sequence[str]
) -> NoReturn:
    """Replace this process by a supervisor's, which gets its parameters by a pipe.

    The command line has imported much that a node never uses. ``restart`` is the command
    that the supervisor becomes when its node was recycled. Raises AfxError when Python
    cannot be started.
    """
    parameters = {
        "settings": settings.to_json(),
        "redis_url": redis_url,
        "node": node,
        "restart": list(restart),
    }
    data = json.dumps(parameters).encode()
    if len(data) > _MOST_BYTES:
        raise AfxError("The settings of the node are too long; give it fewer or shorter labels.")
    reader, writer = os.pipe()
    os.write(writer, data)
    os.close(writer)
    os.set_inheritable(reader, True)
    sys.stdout.flush()
    sys.stderr.flush()
    # The last two are for those who look at the list of processes.
    become([sys.executable, "-m", "afx.node.supervisor_process", str(reader), "worker", node])


def become(command: Sequence[str]) -> NoReturn:
    """Replace this process; raises AfxError when the program cannot be started."""
    try:
        os.execv(command[0], list(command))  # noqa: S606  under the same pid
    except OSError as error:
        raise AfxError(
            f"{command[0]} cannot be restarted ({error.strerror}); start it by hand."
        ) from error
