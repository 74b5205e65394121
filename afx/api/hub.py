"""Live events: read once for all, encoded once for all, sent to each who listens.

The cluster is read once a second, and what is announced at once: who has clicked waits for it.

An id is ``BOOT-NUMBER``. A client that comes back with its last id gets what it missed; one
whose id is too old, or of another process, is told to read everything again (``resync``).
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import orjson
import structlog

from afx.api.frames import Frame, Snapshot
from afx.api.kept import Kept
from afx.api.threads import Threads
from afx.errors import AfxError, UnreachableError
from afx.operations import cluster
from afx.operations.cluster import ActivitySample
from afx.operations.context import Context

TOPICS = ("events", "nodes", "status", "stale")
MOST_CLIENTS = 500
_KEPT = 600
_INTERVAL_SECONDS = 1.0
_LISTEN_SECONDS = 0.25
"""It waits for announcements, and ends so soon when it is to."""
_REST_SECONDS = 0.02
"""Between announcements: what comes meanwhile is sent together."""
_GAP_INTERVALS = 30
"""A client that comes back before so many gets what it missed, also when it is the only one."""
_SILENCE_SECONDS = 15.0
"""After so long without an event a comment shows that the stream lives."""

_ASK_SECONDS = 2.0
"""How often a silent stream asks whether its client may still listen."""

log = structlog.get_logger()


async def _always() -> bool:
    return True


class Hub:
    """Reads what happens while somebody listens, and keeps the last few minutes of it."""

    def __init__(
        self,
        context: Context,
        threads: Threads,
        kept: Kept,
        *,
        interval: float = _INTERVAL_SECONDS,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._context = context
        self._threads = threads
        self._kept = kept
        self._interval = interval
        self._now = now
        self._boot = secrets.token_hex(4)
        self._frames: deque[Frame] = deque(maxlen=_KEPT)
        self._number = 0
        self._changed = asyncio.Event()
        self._closed = False
        self._reading = asyncio.Lock()
        self._activity: Iterator[ActivitySample] | None = None
        self._last_event = ""
        self._heard_at = time.monotonic()  # when somebody last listened
        self.snapshot: Snapshot | None = None
        self.fault = ""
        """Why the last reading failed; empty: it did not."""
        self.clients = 0

    async def run(self) -> None:
        """Read until the hub is closed; an error makes what is shown stale, nothing more."""
        listening = asyncio.create_task(self._listen())
        try:
            while not self._closed:
                began = time.monotonic()
                await self._try(self.read)
                rest = self._interval - (time.monotonic() - began)
                await asyncio.sleep(max(0.05, rest))
        finally:
            listening.cancel()

    async def _listen(self) -> None:
        """Publish what is announced; while nobody listens, or Redis is away, it rests."""
        while not self._closed:
            hears = self._last_event and not self.fault and await self._try(self._hear)
            await asyncio.sleep(_REST_SECONDS if hears else _LISTEN_SECONDS)

    async def _try(self, step: Callable[[], Awaitable[None]]) -> bool:
        """Return whether a step was made, and ended well."""
        if not self.clients:
            if time.monotonic() - self._heard_at > _GAP_INTERVALS * self._interval:
                self._last_event = ""  # what happens meanwhile is no news for who comes later
            return False
        self._heard_at = time.monotonic()
        try:
            await step()
        except Exception as error:
            log.error("live_events_failed", error=repr(error))
            return False
        return True

    async def read(self) -> None:
        """Read the cluster once, and publish what is new."""
        async with self._reading:
            await self._read_once()

    async def recent(self, seconds: float) -> Snapshot:
        """Return the cluster as it was so long ago at most; raises AfxError when it is away."""
        found = self.snapshot
        if found is None or self.fault or self._now() - found.at > seconds:
            await self.read()
            found = self.snapshot
        if found is None or self.fault:
            raise UnreachableError(self.fault)
        return found

    async def _hear(self) -> None:
        """Publish what is announced next; errors are for the next reading."""
        seen = self._last_event
        read = partial(cluster.events_after, self._context, seen, wait_seconds=_LISTEN_SECONDS)
        try:
            last, found = await self._threads.listen(read)
        except AfxError:
            await asyncio.sleep(_LISTEN_SECONDS)
            return
        if self._last_event == seen:  # no reading has found that the stream is another one
            self._last_event = last
        for it in found:
            try:
                self.publish("events", it)
            except (TypeError, ValueError) as error:
                # Events come from Redis: whatever one of them is, others follow it.
                log.error("live_event_refused", error=repr(error))

    async def _read_once(self) -> None:
        try:
            snapshot = await self._threads.read(self._read)
        except AfxError as error:
            self._activity = None
            if str(error) != self.fault:
                self.fault = str(error)
                self.publish("stale", {"detail": self.fault})
            return
        if self.fault:
            self.fault = ""
            self.publish("stale", {"detail": ""})
        before, self.snapshot = self.snapshot, snapshot
        if before is None or before.status != snapshot.status:
            self.publish("status", snapshot.status)
        self.publish("nodes", snapshot.sample.nodes)

    def publish(self, topic: str, value: Any) -> None:
        """Give an event to all who listen to its topic."""
        self._number += 1
        name = f"id: {self._boot}-{self._number}\nevent: {topic}\ndata: ".encode()
        data = name + orjson.dumps(value, default=str) + b"\n\n"
        self._frames.append(Frame(self._number, topic, data))
        self._wake()

    def close(self) -> None:
        """End all streams, so that the process can end; call it on the event loop."""
        self._closed = True
        self._wake()

    async def stream(
        self,
        topics: frozenset[str],
        last_id: str,
        may_listen: Callable[[], Awaitable[bool]] = _always,
    ) -> AsyncIterator[bytes]:
        """Yield the events of some topics, after the last id that the client has seen.

        It ends when the client ``may_listen`` no longer: its token was revoked, or has expired.
        """
        self.clients += 1
        try:
            position, missed = self._position(last_id)
            yield b"retry: 1000\n\n"
            if missed:
                yield f"id: {self._boot}-{position}\nevent: resync\ndata: {{}}\n\n".encode()
            silent_since = time.monotonic()
            while not self._closed and await may_listen():
                changed = self._changed
                if self._frames and position < self._frames[0].number - 1:
                    position = self._number
                    yield f"id: {self._boot}-{position}\nevent: resync\ndata: {{}}\n\n".encode()
                fresh = [it for it in self._frames if it.number > position]
                if fresh:
                    position = fresh[-1].number
                    if sent := b"".join(it.data for it in fresh if it.topic in topics):
                        silent_since = time.monotonic()
                        yield sent
                        continue
                with suppress(TimeoutError):
                    async with asyncio.timeout(_ASK_SECONDS):
                        await changed.wait()
                if time.monotonic() - silent_since > _SILENCE_SECONDS:
                    silent_since = time.monotonic()
                    yield b": alive\n\n"
        finally:
            self.clients -= 1

    def _position(self, last_id: str) -> tuple[int, bool]:
        """Return after which number a client goes on, and whether it missed something."""
        if not last_id:
            return self._number, False
        boot, _, number = last_id.partition("-")
        oldest = self._frames[0].number if self._frames else self._number + 1
        if boot == self._boot and number.isascii() and number.isdecimal() and len(number) < 16:
            if oldest - 1 <= int(number) <= self._number:
                return int(number), False
        return self._number, True

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _read(self) -> Snapshot:
        seen = self._last_event
        position = cluster.event_position(self._context, seen)
        if self._last_event == seen:  # nothing was heard meanwhile
            self._last_event = position
        status = self._kept.get("status", lambda: cluster.status(self._context))
        if self._activity is None:
            self._activity = cluster.activity(self._context)
        sample: ActivitySample | None = None
        with suppress(StopIteration):
            sample = next(self._activity)
        if sample is None:
            # A generator that raised has ended.
            self._activity = cluster.activity(self._context)
            sample = next(self._activity)
        return Snapshot(self._now(), status, sample)
