"""One of several processes of the API (see ``worker_processes``)."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import socket
import sys

from afx.garbage import collect_rarely

collect_rarely()

from afx.api.generations import SharedGeneration  # noqa: E402
from afx.api.messages import MessagesInFiles  # noqa: E402
from afx.api.server import serve_at  # noqa: E402
from afx.api.worker_processes import Work  # noqa: E402
from afx.app import ProcessServers, prepare_process  # noqa: E402


def main() -> None:
    """Serve as the parent says, until SIGTERM or until the parent is gone."""
    # A terminal's Ctrl-C goes to all of them: the parent ends its processes.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # What is read was written by the parent, through a pipe that nobody else has.
    work: Work = pickle.load(sys.stdin.buffer)  # noqa: S301
    prepare_process(work.settings)
    listening = socket.socket(fileno=work.socket)
    messages = MessagesInFiles(work.messages, work.messages_key)
    generation = SharedGeneration(work.generations, work.place, work.settings.web_workers)
    with ProcessServers(work.settings) as servers, listening:
        servers.open_database(create=True)
        serve_at(
            servers,
            listening,
            behind_proxy=work.behind_proxy,
            tls=work.tls,
            messages=messages,
            generation=generation,
            beside=_end_with_parent,
        )


def _end_with_parent() -> None:
    """Stop once the pipe from the parent is closed; on the event loop."""
    loop = asyncio.get_running_loop()
    pipe = sys.stdin.fileno()

    def readable() -> None:
        if not os.read(pipe, 1):
            loop.remove_reader(pipe)
            os.kill(os.getpid(), signal.SIGTERM)

    loop.add_reader(pipe, readable)


if __name__ == "__main__":
    main()
