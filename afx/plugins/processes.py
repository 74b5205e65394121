"""Runs plug-ins that get files, each call in a process of its own that is killed at its deadline.

Nothing waits on the loop of the sessions: a thread waits for the process, and reads what it has
left. Two run at once. Nothing of a process lives on: neither when it ends, nor when its node is
killed, nor what has left its group.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from afx.forwarding.plugin_options import Plugin
from afx.plugins import Drop, File, Message
from afx.plugins.exchange import ANSWER, ORDER, WrongAnswerError, order_text, read_answer
from afx.plugins.leftovers import bytes_within, kill_those_of

_AT_ONCE = 2
_ROOM = 4
"""How many times as large as its limit a file may be that it writes on the way."""
_LEAST_ROOM = 16 * 1024 * 1024
_FILES = 4
"""How many of the largest files it may have on the disk at once."""
_WATCHED_SECONDS = 0.2
_KEPT = ("PATH", "HOME", "LANG", "TZ", "PYTHONPATH", "VIRTUAL_ENV", "LD_LIBRARY_PATH")
"""What it learns of the node's environment: no keys and no addresses."""


class Processes:
    """The calls of one node's process."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="afx-plugin")

    async def call(self, use: Plugin, message: Message, directory: Path) -> Message | Drop:
        """Return what a plug-in makes of a message, whose file lies in ``directory``.

        Raises WrongAnswerError. A file that it returns is a regular one of the directory, and
        not larger than ``use.files`` bytes.
        """
        call = _Call(use, message, directory)
        begun = self._threads.submit(call.run)
        answered = asyncio.wrap_future(begun)
        try:
            return await asyncio.shield(answered)
        except asyncio.CancelledError:
            # Its directory is removed next: the process is to be gone by then.
            begun.cancel()
            call.stop()
            await asyncio.wait([answered])
            if not answered.cancelled():
                answered.exception()
            raise


class _Call:
    def __init__(self, use: Plugin, message: Message, directory: Path) -> None:
        self._use, self._message, self._directory = use, message, directory
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._is_stopped = False
        self._ended = threading.Event()
        self._why = ""
        """Why it was killed before it has ended."""

    def run(self) -> Message | Drop:
        """Run the process to its end."""
        use, directory = self._use, self._directory
        try:
            for it in (ANSWER, ORDER):  # whatever the plug-in before has left in their places
                with contextlib.suppress(FileNotFoundError):
                    (directory / it).unlink()
            most = max(_ROOM * use.files, _LEAST_ROOM)
            (directory / ORDER).write_text(self._order(most))
            code = self._wait(most)
        except OSError as error:
            raise WrongAnswerError(f"its process does not start: {error.strerror}") from error
        if self._why:
            raise WrongAnswerError(self._why)
        if code:
            how = f"by signal {-code}" if code < 0 else f"with status {code}"
            raise WrongAnswerError(f"its process ended {how}")
        answer = read_answer(directory, self._message)
        if isinstance(answer, Drop) or answer.file is None or answer.file is self._message.file:
            return answer
        return replace(answer, file=checked_file(answer.file, directory, use.files))

    def _order(self, most: int) -> str:
        use, message = self._use, self._message
        cpu = (int(use.timeout) + 1) * (os.cpu_count() or 1)
        return order_text(use.name, use.settings, message, memory=use.memory, most=most, cpu=cpu)

    def stop(self) -> None:
        """End it, whether it has begun or not."""
        with self._lock:
            self._is_stopped = True
            self._kill()

    def _wait(self, most: int) -> int:
        watch = threading.Thread(target=self._watch, args=(_FILES * most,), daemon=True)
        with self._lock:
            if self._is_stopped:
                raise WrongAnswerError("it was cancelled")
            environment = {it: os.environ[it] for it in _KEPT if it in os.environ}
            environment |= {it: value for it, value in os.environ.items() if it.startswith("LC_")}
            environment["TMPDIR"] = str(self._directory)
            process = self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "afx.plugins.process"],
                cwd=self._directory,
                env=environment,
                stdin=subprocess.PIPE,  # its end is that of this process
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        try:
            watch.start()
            if hasattr(os, "waitid"):  # macOS has none before Python 3.13
                # It stays a zombie until its group is killed: its number is no other's by then.
                os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
            else:
                process.wait()
        finally:
            self._ended.set()
            with self._lock:
                self._kill()
                self._process = None
                code = process.wait()
            assert process.stdin is not None
            process.stdin.close()
            kill_those_of(self._directory)
        return code

    def _watch(self, most: int) -> None:
        """Kill it when its time is over, or it fills the disk with more than so many bytes."""
        end = time.monotonic() + self._use.timeout
        while (left := end - time.monotonic()) > 0:
            if self._ended.wait(min(left, _WATCHED_SECONDS)):
                return
            if bytes_within(self._directory, most) > most:
                self._end(f"it has written more than {most:,} bytes")
                return
        self._end(f"no answer within {self._use.timeout:g} s")

    def _end(self, why: str) -> None:
        with self._lock:
            if self._process is not None:
                self._why = why
                self._kill()

    def _kill(self) -> None:
        """Kill the process, and what it has started; its lock is held."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)


def checked_file(file: File, directory: Path, most: int) -> File:
    """Return a file of an answer with its size; raises WrongAnswerError for no good one.

    A good one is a regular file of the directory, with at most so many bytes.
    """
    try:
        path = directory / file.path
        about = path.lstat()
        within = path.parent.resolve().is_relative_to(directory.resolve())
    except (OSError, ValueError, RuntimeError):
        raise WrongAnswerError("the file that it returns does not exist") from None
    if not within or not stat.S_ISREG(about.st_mode):
        raise WrongAnswerError("the file that it returns is none of its directory")
    if not 0 < about.st_size <= most:
        raise WrongAnswerError(
            f"the file that it returns has {about.st_size:,} bytes, of at most {most:,}"
        )
    return replace(file, path=str(path), size=about.st_size)
