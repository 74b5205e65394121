"""A process that has imported what commands of ``afx`` use, and forks one for each call.

Half a second of imports is most of what a command costs. Each command still runs in a
process of its own, with its own arguments, variables, directory and descriptors.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import pkgutil
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

_ROOTS = ("afx.operations", "models.storage", "models")
_MODULES = ("afx.app", "psycopg", "typer._adapters")
_MOST_BYTES = 1 << 20
_TESTS = Path(__file__).parents[1]


class CommandServer:
    """The process, for the tests of this process; it ends with them."""

    def __init__(self) -> None:
        self._line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "support.command_server", str(theirs.fileno())],
                env={**os.environ, "PYTHONPATH": f"{_TESTS}{os.pathsep}{_TESTS.parent}"},
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
            )

    def run(
        self,
        arguments: Sequence[str],
        *,
        stdin: str,
        timeout: float,
        cwd: Path,
        variables: dict[str, str],
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as ``subprocess.run`` does, with its output as text.

        ``timeout`` is in seconds; raises TimeoutExpired after it.
        """
        deadline = time.monotonic() + timeout
        status, theirs = socket.socketpair()
        ends = [os.pipe() for _ in range(3)]
        (their_in, our_in), (our_out, their_out), (our_err, their_err) = ends
        request = json.dumps([list(arguments), str(cwd), variables]).encode(
            errors="surrogateescape"
        )
        assert len(request) < _MOST_BYTES
        given = [their_in, their_out, their_err, theirs.fileno()]
        try:
            socket.send_fds(self._line, [request], given)
        finally:
            theirs.close()
            for it in given[:3]:
                os.close(it)
        with status:
            found = _communicate(our_in, stdin.encode(), (our_out, our_err), deadline)
            status.settimeout(max(0.01, deadline - time.monotonic()))
            with contextlib.suppress(TimeoutError):
                if found is not None and (answer := status.recv(100)):
                    out, err = (_text(it) for it in found)
                    return subprocess.CompletedProcess(list(arguments), int(answer), out, err)
        raise subprocess.TimeoutExpired(list(arguments), timeout)

    def close(self) -> None:
        """End it."""
        self._line.close()
        self._process.wait()


def _text(data: bytes) -> str:
    return data.decode().replace("\r\n", "\n").replace("\r", "\n")


def _communicate(
    stdin: int, data: bytes, outputs: tuple[int, int], deadline: float
) -> tuple[bytes, bytes] | None:
    """Write and read until both outputs have ended; returns None after the deadline."""
    read = {it: bytearray() for it in outputs}
    with selectors.DefaultSelector() as waiting:
        for it in outputs:
            waiting.register(it, selectors.EVENT_READ)
        os.set_blocking(stdin, False)
        waiting.register(stdin, selectors.EVENT_WRITE)
        while waiting.get_map():
            ready = waiting.select(max(0.0, deadline - time.monotonic()))
            if not ready:
                break
            for key, _ in ready:
                descriptor = key.fd
                if descriptor != stdin:
                    if chunk := os.read(descriptor, 1 << 16):
                        read[descriptor] += chunk
                        continue
                elif data:
                    try:
                        data = data[os.write(descriptor, data) :]
                        continue
                    except BrokenPipeError:
                        pass
                waiting.unregister(descriptor)
                os.close(descriptor)
        left = list(waiting.get_map())
        for it in left:
            os.close(it)
    return None if left else (bytes(read[outputs[0]]), bytes(read[outputs[1]]))


def _serve(line: socket.socket) -> dict[str, Any]:
    """Fork a process for each request; returns the request in the forked process."""
    running: dict[int, socket.socket] = {}
    wake, waker = socket.socketpair()
    waker.setblocking(False)
    signal.set_wakeup_fd(waker.fileno())
    signal.signal(signal.SIGCHLD, lambda *_: None)
    with selectors.DefaultSelector() as waiting:
        waiting.register(line, selectors.EVENT_READ)
        waiting.register(wake, selectors.EVENT_READ)
        while True:
            for key, _ in waiting.select():
                if key.fileobj is line:
                    request, descriptors, _, _ = socket.recv_fds(line, _MOST_BYTES, 4)
                    if not request:
                        _end(running)
                    status = socket.socket(fileno=descriptors.pop())
                    if pid := os.fork():
                        for it in descriptors:
                            os.close(it)
                        running[pid] = status
                        waiting.register(status, selectors.EVENT_READ, pid)
                        continue
                    signal.set_wakeup_fd(-1)
                    for it in (line, wake, waker, status, *running.values()):
                        it.close()
                    return {"request": json.loads(request), "descriptors": descriptors}
                if key.fileobj is wake:
                    wake.recv(1000)
                    _reap(running, waiting)
                elif key.data in running:  # nobody waits for it any more
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(key.data, signal.SIGKILL)
                    waiting.unregister(key.fileobj)


def _reap(running: dict[int, socket.socket], waiting: selectors.BaseSelector) -> None:
    for pid, status in list(running.items()):
        done, code = os.waitpid(pid, os.WNOHANG)
        if done:
            del running[pid]
            with contextlib.suppress(KeyError):
                waiting.unregister(status)
            with status, contextlib.suppress(BrokenPipeError):
                status.sendall(str(os.waitstatus_to_exitcode(code)).encode())


def _end(running: dict[int, socket.socket]) -> NoReturn:
    for pid in running:
        os.kill(pid, signal.SIGKILL)
    os._exit(0)


def _become(request: list[Any], descriptors: list[int]) -> None:
    """Make this the process of a command, as a shell would have started it."""
    arguments, directory, variables = request
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.environ.clear()
    os.environ.update(variables)
    os.chdir(directory)
    for number, it in enumerate(descriptors):
        os.dup2(it, number)
        os.close(it)
    sys.stdin, sys.stdout, sys.stderr = (
        os.fdopen(number, mode, encoding=it.encoding, errors=it.errors)
        for number, mode, it in ((0, "r", sys.stdin), (1, "w", sys.stdout), (2, "w", sys.stderr))
    )
    sys.stderr.reconfigure(line_buffering=True)
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr
    sys.argv[1:] = arguments
    sys.path.remove(str(_TESTS))


def main() -> None:
    """Import, then serve; each forked process returns from here as the command."""
    import cli.main

    for name in cli.main.COMMANDS:
        import_module(f"cli.{name}")
    for root in _ROOTS:
        for found in pkgutil.iter_modules(import_module(root).__path__, f"{root}."):
            if not found.ispkg:
                import_module(found.name)
    for it in _MODULES:
        import_module(it)
    gc.freeze()
    sys.argv[0] = cli.main.__file__ or ""
    _become(**_serve(socket.socket(fileno=int(sys.argv[1]))))
    cli.main.run()


if __name__ == "__main__":
    main()
