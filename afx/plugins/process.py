"""The process of a plug-in that gets files: one message, one answer, and it ends.

It runs in the message's directory, behind the sessions, with a bound on its memory and on what
it writes; its node ends it when its time is over. What it prints goes nowhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import os
import resource
import signal
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from afx.plugins import NotInstalledError, installed
from afx.plugins.exchange import ANSWER, ORDER, answer_text, message_of
from afx.plugins.leftovers import kill_those_of

_NICER = 5


def main() -> None:
    """Do what the order in the working directory says."""
    _die_with_node()
    order = json.loads(Path(ORDER).read_bytes())
    os.nice(_NICER)
    for limit, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_AS, order["memory"]),
        (resource.RLIMIT_FSIZE, order["most"]),
        # What hangs in no code of Python's, and computes, outlives its node for so long.
        (resource.RLIMIT_CPU, order["cpu"]),
    ):
        # Not where its own limit is lower already, or the system has none.
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(limit, (value, value))
    Path(ANSWER).write_text(answered(order))
    os._exit(0)  # whatever threads the plug-in has left


def _die_with_node() -> None:
    """End, with all that the plug-in has started, when the node's process ends.

    Its end of the standard input closes then, however it ends; the plug-in reads an empty one.
    """
    node = os.dup(0)
    os.set_inheritable(node, False)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    threading.Thread(target=_wait_for_end, args=(node, Path.cwd()), daemon=True).start()


def _wait_for_end(node: int, directory: Path) -> None:
    try:
        while os.read(node, 1):
            pass
        kill_those_of(directory)
    finally:
        os.killpg(0, signal.SIGKILL)


def answered(order: Mapping[str, Any]) -> str:
    """Return what a plug-in answers, or why it does not, as text."""
    name = order["name"]
    try:
        hook = installed(name)
        if not inspect.iscoroutinefunction(hook):
            return _failed(f"the plug-in {name!r} is no async function")
        answer = asyncio.run(_call(hook, order))
    except NotInstalledError as error:
        return _failed(str(error))
    except (Exception, SystemExit) as error:
        return _failed(f"it raised {type(error).__name__}")
    try:
        return answer_text(answer)
    except Exception:
        return _failed("its answer is neither a message, nor Drop, nor None")


async def _call(hook: Any, order: Mapping[str, Any]) -> Any:
    return await hook(message_of(order["message"]), order["settings"])


def _failed(reason: str) -> str:
    return json.dumps({"kind": "failed", "reason": reason})


if __name__ == "__main__":
    main()
