"""The outputs of a host's sessions: what a lane sends to a webhook, a file or a feed.

Nothing of it blocks the loop: each write, and each request, is made in a thread, one at a time
for each output. What a crash or a cancelled lane has left open is sent again under the same id,
so a receiver that keeps ids, a file and a feed have each message once.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from afx.empty import NOTHING
from afx.errors import UsageError
from afx.forwarding.outputs import CLOSED_OUTPUT, Target, output_number, target_of
from afx.forwarding.pipeline import Delivery
from afx.node.output_messages import content_of, event_id
from afx.security.cut_line import Line
from afx.security.login_servers import Network
from afx.security.webhook_signature import signature
from afx.telegram.building import why
from afx.telegram.sender import Outcome

if TYPE_CHECKING:
    from afx.node.output_files import Feed, LineFile
    from afx.security.webhook_request import Result

_THREADS, _SLOW_THREADS = 8, 8
"""Those of receivers that have answered quickly, and of others: these hold up each other only."""
_SLOW_SECONDS = 1.0
"""After an answer that took longer a receiver counts as slow, until one is quicker."""
_UNDER_WAY = 2
"""Sends of one session at a time: its slow receivers leave threads to other sessions."""
_END_SECONDS = 2.0
"""For so long a cancelled lane waits for what its thread has begun; then that is cut."""
_CUT_SECONDS = 0.5
_AT_ONCE_SECONDS = 2.0
"""A lane is asked anew after so long, whether it may still send."""
_MOST_FAILURES = 8
"""Failures in a row after which an output counts as closed: it is tried rarely then."""
_LONGEST_WAIT = 3_600.0
_REFUSED = frozenset({400, 413, 415, 422})
"""What says that this message is refused, and another one may pass (RFC 9110)."""
_NEXT = Outcome("again", reason="it is sent next")
_NOT_OURS = Outcome("failed", reason="the node's lease is running out")
_ENDED = Outcome("failed", reason="its lane was stopped")

Post = Callable[..., "Result"]


class Outputs:
    """What all outputs of a host share."""

    def __init__(
        self,
        *,
        directory: str,
        networks: Sequence[Network],
        secrets: Callable[[int, str], Sequence[str]],
        may_write: Callable[[], bool],
        time_now: Callable[[], float] = time.time,
        post: Post | None = None,
    ) -> None:
        """``directory`` is where files may be; empty: nowhere.

        ``networks`` are those to which webhooks may lead beside public ones; ``secrets`` gives
        those of a session and a URL, the newest first; ``post`` is ``webhook_request.post``.
        """
        self.directory = directory
        self.networks = networks
        self.secrets = secrets
        self.may_write = may_write
        self.time_now = time_now
        self._post = post
        self._threads: Mapping[bool, ThreadPoolExecutor] = NOTHING
        """Those of slow receivers, and of others."""

    def post_of(self) -> Post:
        """Return what sends a request; nodes without webhooks do not load it."""
        if self._post is None:
            from afx.security.webhook_request import post

            self._post = post
        return self._post

    async def run(
        self, work: Callable[[Line], list[Outcome]], *, is_slow: bool = False
    ) -> list[Outcome]:
        """Do something in a thread; ``is_slow``: it may take long.

        When this is cancelled, the thread is told to begin nothing more. What it has begun is
        waited for, but not for long; then its connection is cut.
        """
        if is_slow not in self._threads:
            count = _SLOW_THREADS if is_slow else _THREADS
            made = ThreadPoolExecutor(count, thread_name_prefix="output")
            self._threads = {**self._threads, is_slow: made}
        line = Line()
        running = self._threads[is_slow].submit(work, line)
        try:
            return await asyncio.wrap_future(running)
        except asyncio.CancelledError:
            line.end()
            try:
                with suppress(Exception):
                    await asyncio.wait_for(asyncio.wrap_future(running), _END_SECONDS)
            finally:
                line.cut()
            with suppress(Exception):
                await asyncio.wait_for(asyncio.wrap_future(running), _CUT_SECONDS)
            raise

    def close(self) -> None:
        """Begin nothing more."""
        for it in self._threads.values():
            it.shutdown(wait=False, cancel_futures=True)


class SessionOutputs:
    """The outputs of one session, by their numbers."""

    __slots__ = ("_outputs", "_room", "_session", "_shared")

    def __init__(self, shared: Outputs, session: int) -> None:
        self._shared = shared
        self._session = session
        self._outputs: Mapping[int, Output] = NOTHING
        self._room: asyncio.Semaphore | None = None

    def learn(self, text: str) -> int | None:
        """Return the number of an output; None when this node cannot use it."""
        number = output_number(text)
        try:
            target = target_of(text)
        except UsageError:
            return None
        if target.kind != "webhook" and not self._shared.directory:
            return None
        if number not in self._outputs:
            self._room = self._room or asyncio.Semaphore(_UNDER_WAY)
            made = Output(self._shared, self._session, target, self._room)
            self._outputs = {**self._outputs, number: made}
        return number

    def of(self, number: int) -> Output | None:
        """Return an output by its number; None for that of a chat."""
        return self._outputs.get(number)


def _untold(change: Delivery) -> Outcome:
    is_wrong = change.copy and change.error
    return Outcome("refused", reason=change.error) if is_wrong else Outcome("known")


class Output:
    """One output of one session: takes what its lane sends, in order."""

    def __init__(
        self, shared: Outputs, session: int, target: Target, room: asyncio.Semaphore
    ) -> None:
        """``room`` is that of the session in the threads."""
        self._shared = shared
        self._room = room
        self._session = session
        self._target = target
        self._lock = threading.Lock()
        self._failures = 0
        self._is_slow = False
        self._lines: LineFile | None = None
        self._feed: Feed | None = None
        if target.kind != "webhook":
            from afx.node import output_files

            root = Path(shared.directory) / str(session)
            if target.kind == "file":
                self._lines = output_files.LineFile(root, target.place)
            else:
                self._feed = output_files.Feed(root, target.place)

    async def send(self, batch: Sequence[Delivery]) -> list[Outcome]:
        """Send deliveries in order; what is behind one that failed is sent again.

        A change of what was never sent is none, and one that its transforms failed on is not
        told as it was before them.
        """
        told = [it for it in batch if it.op == "send" or (it.copy and not it.error)]
        made: Iterator[Outcome] = iter(())
        if told:
            async with self._room:
                sent = self._shared.run(lambda line: self._send(told, line), is_slow=self._is_slow)
                made = iter(await sent)
        return [next(made) if it in told else _untold(it) for it in batch]

    def _send(self, batch: Sequence[Delivery], line: Line) -> list[Outcome]:
        with self._lock:
            if self._target.kind == "webhook":
                return self._post_all(batch, line)
            return self._write_all(batch, line)

    def _write_all(self, batch: Sequence[Delivery], line: Line) -> list[Outcome]:
        if line.is_ended or not self._shared.may_write():
            return [_ENDED if line.is_ended else _NOT_OURS, *[_NEXT] * (len(batch) - 1)]
        made = [_content(it) for it in batch]
        told = [(it, of) for it, of in zip(batch, made, strict=True) if isinstance(of, dict)]
        contents = [content for _, content in told]
        try:
            if self._lines is not None:
                self._lines.write(contents)
            elif self._feed is not None:
                self._feed.write(contents, [it.posted for it, _ in told])
        except OSError as error:
            failure = self._failed(f"the file cannot be written: {error.strerror or error}")
            return [failure, *[_NEXT] * (len(batch) - 1)]
        self._failures = 0
        return [
            of if isinstance(of, Outcome) else _sent(it) for it, of in zip(batch, made, strict=True)
        ]

    def _post_all(self, batch: Sequence[Delivery], line: Line) -> list[Outcome]:
        until = time.monotonic() + _AT_ONCE_SECONDS
        outcomes: list[Outcome] = []
        for it in batch:
            content = _content(it)
            if outcomes and time.monotonic() > until:
                break
            if line.is_ended:
                outcomes.append(_ENDED)
                break
            if isinstance(content, Outcome):
                outcomes.append(content)
                continue
            outcomes.append(_sent(it) if content is None else self._post(it, content, line))
            if outcomes[-1].result not in ("sent", "known", "refused"):
                break
        return [*outcomes, *[_NEXT] * (len(batch) - len(outcomes))]

    def _post(self, delivery: Delivery, content: dict[str, Any], line: Line) -> Outcome:
        if not self._shared.may_write():
            return _NOT_OURS
        body = json.dumps(content, ensure_ascii=False).encode("utf-8", "replace")
        timestamp = int(self._shared.time_now())
        url = self._target.place
        secrets = self._shared.secrets(self._session, url)
        headers = {
            "user-agent": "afx-output/1",
            "content-type": "application/json",
            "afx-event": content["event"],
            "afx-delivery": event_id(content),
            "afx-timestamp": str(timestamp),
            "afx-signature": signature(secrets, timestamp, body),
        }
        begun = time.monotonic()
        networks = self._shared.networks
        result = self._shared.post_of()(url, body, headers, networks=networks, line=line)
        self._is_slow = time.monotonic() - begun > _SLOW_SECONDS
        if result.error and result.status is None and line.is_ended:
            return _ENDED  # it may have been cut
        if not result.error:
            self._failures = 0
            return _sent(delivery)
        if result.status in _REFUSED:
            self._failures = 0
            return Outcome("refused", reason=result.error)
        if result.retry_after:
            seconds = min(result.retry_after, _LONGEST_WAIT)
            return Outcome("wait", seconds=seconds, reason=result.error)
        return self._failed(result.error)

    def _failed(self, reason: str) -> Outcome:
        self._failures += 1
        if self._failures >= _MOST_FAILURES:
            return Outcome("refused", reason=f"{CLOSED_OUTPUT}{reason}")
        return Outcome("failed", reason=reason)


def _content(delivery: Delivery) -> dict[str, Any] | Outcome | None:
    """Return what is told of a delivery; an outcome where that cannot be put into words."""
    try:
        content = content_of(delivery)
        json.dumps(content)
    except Exception as error:
        return Outcome("refused", reason=why(error))
    return content


def _sent(delivery: Delivery) -> Outcome:
    # The number of a copy is that of its message: an output gives none.
    return Outcome("sent" if delivery.op == "send" else "known", delivery.message)
