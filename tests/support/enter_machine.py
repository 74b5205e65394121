"""Runs a command on a machine of its own: ``enter_machine.py NETWORK COMMAND…``.

The command is the first process of its pid namespace, as in a container, and has
only the network of that name. Signals of this process are passed on to it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from pathlib import Path

_CLONE_NEWNS, _CLONE_NEWPID, _CLONE_NEWNET = 0x20000, 0x20000000, 0x40000000
_MS_REC, _MS_PRIVATE = 0x4000, 0x40000
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def _must(answer: int) -> None:
    if answer:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def main() -> None:
    network, *command = sys.argv[1:]
    with Path(f"/run/netns/{network}").open("rb") as namespace:
        _must(_libc.setns(namespace.fileno(), _CLONE_NEWNET))
    _must(_libc.unshare(_CLONE_NEWPID | _CLONE_NEWNS))
    child = os.fork()
    if not child:
        _must(_libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL))
        _must(_libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None))
        _must(_libc.mount(b"proc", b"/proc", b"proc", 0, None))
        os.execvp(command[0], command)
    for signal_id in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signal_id, lambda signal_id, _: os.kill(child, signal_id))
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    sys.exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main()
