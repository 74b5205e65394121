"""Runs plug-ins beside the loop of the sessions: with a time-out, a budget, and none that hangs."""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from afx.forwarding.plugin_options import Plugin
from afx.plugins import Drop, Hook, Message, NotInstalledError, installed
from afx.plugins.exchange import LONGEST, WrongAnswerError
from afx.plugins.processes import Processes

_HOUR = 3_600.0
_STUCK_SECONDS = 1.0
_TOLD_SECONDS, _MOST_TOLD = 60.0, 100
_MOST_STUCK = 4
"""Threads that hooks have not given back; with so many nothing is called."""
_LEFT_SECONDS = 600.0
"""For so long the other calls of a thread that was given back may go on."""


@dataclass(slots=True, frozen=True)
class Failed:
    """A plug-in gave no answer that can be used."""

    reason: str


Answer = Message | Drop | Failed


class PluginRunner:
    """The plug-ins of one process."""

    def __init__(
        self,
        load: Callable[[str], Hook] = installed,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._load = load
        self._monotonic = monotonic
        self._processes = Processes()
        self._hooks: dict[str, Hook | str] = {}
        """By name; a text says why one cannot be used."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._stuck: list[threading.Thread] = []
        """Those that were left to hooks which block them."""
        self._told: dict[str, float] = {}
        self._spent: dict[tuple[int, str], tuple[float, int]] = {}
        """(rule, plug-in) → since when its hour runs, and its calls."""

    async def apply(self, use: Plugin, message: Message) -> Answer:
        """Return what a plug-in makes of a message; never raises, but when it is cancelled."""
        self._stuck = [it for it in self._stuck if it.is_alive()]
        if len(self._stuck) >= _MOST_STUCK:
            return Failed("plug-ins hang, and none is called until one returns")
        if not self._spend(use, message.rule):
            return Failed(f"its budget of {use.per_hour:,} calls an hour is spent")
        loop = self._running()
        left = threading.Event()
        call = self._call(use, message, left)
        future: Future[Any] = asyncio.run_coroutine_threadsafe(call, loop)
        try:
            answer = await asyncio.wait_for(asyncio.wrap_future(future), use.timeout)
        except TimeoutError:
            left.set()
            future.cancel()
            await self._replace_stuck(loop)
            return Failed(f"no answer within {use.timeout:g} s")
        except asyncio.CancelledError:
            left.set()
            future.cancel()
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise
            return Failed("it was cancelled")
        except Exception as error:
            return Failed(f"it raised {type(error).__name__}")
        if isinstance(answer, Failed):
            return answer
        return _checked(answer, message)

    async def apply_to_file(self, use: Plugin, message: Message, directory: Path) -> Answer:
        """Return what a plug-in that gets files makes of a message; its file is in ``directory``.

        Never raises, but when it is cancelled.
        """
        if not self._spend(use, message.rule):
            return Failed(f"its budget of {use.per_hour:,} calls an hour is spent")
        try:
            return await self._processes.call(use, message, directory)
        except WrongAnswerError as error:
            return Failed(str(error))
        except Exception as error:
            return Failed(f"its process cannot be run: {type(error).__name__}")

    def may_tell(self, text: str) -> bool:
        """Return whether a failure is to be told now: the same one once a minute."""
        now = self._monotonic()
        self._told = {it: at for it, at in self._told.items() if now - at < _TOLD_SECONDS}
        if text in self._told or len(self._told) >= _MOST_TOLD:
            return False
        self._told[text] = now
        return True

    async def _call(self, use: Plugin, message: Message, left: threading.Event) -> Any:
        """Call a plug-in; in its thread, where it is loaded too.

        Not if its caller has left before its turn came: a hook that begins behind the
        question whether the thread is stuck would hang it unseen, for the next caller.
        """
        if left.is_set():
            return Failed("its caller has left")
        hook = self._hook(use.name)
        return Failed(hook) if isinstance(hook, str) else await hook(message, dict(use.settings))

    def _hook(self, name: str) -> Hook | str:
        if name not in self._hooks:
            try:
                hook = self._load(name)
                good = inspect.iscoroutinefunction(hook)
                self._hooks[name] = hook if good else f"the plug-in {name!r} is no async function"
            except NotInstalledError as error:
                self._hooks[name] = str(error)
            except Exception as error:
                text = f"the plug-in {name!r} cannot be loaded: {type(error).__name__}"
                self._hooks[name] = text
        return self._hooks[name]

    def _spend(self, use: Plugin, rule: int) -> bool:
        if not use.per_hour:
            return True
        now = self._monotonic()
        since, calls = self._spent.get((rule, use.name), (now, 0))
        if now - since >= _HOUR:
            since, calls = now, 0
        if calls >= use.per_hour:
            return False
        self._spent[rule, use.name] = since, calls + 1
        return True

    def _running(self) -> asyncio.AbstractEventLoop:
        """Return the loop of the plug-ins, in a thread that no exit waits for."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(
                target=_serve, args=(self._loop,), name="afx-plugins", daemon=True
            )
            self._thread.start()
        return self._loop

    async def _replace_stuck(self, loop: asyncio.AbstractEventLoop) -> None:
        """Use another thread from now on if a hook does not give this one back."""
        if self._loop is not loop:
            return
        pong: Future[None] = Future()
        loop.call_soon_threadsafe(pong.set_result, None)
        try:
            await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(pong)), _STUCK_SECONDS)
        except TimeoutError:
            if self._loop is loop and self._thread is not None:
                self._stuck.append(self._thread)
                self._loop = self._thread = None
                loop.call_soon_threadsafe(loop.stop)


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    """Run a loop until it is stopped, and then what it has begun."""
    loop.run_forever()
    if left := asyncio.all_tasks(loop):
        loop.run_until_complete(asyncio.wait(left, timeout=_LEFT_SECONDS))
        for it in left:
            it.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
    loop.close()


def _checked(answer: Any, message: Message) -> Answer:
    if answer is None:
        return message
    if isinstance(answer, Drop):
        return answer
    if (
        isinstance(answer, Message)
        and isinstance(answer.text, str)
        and isinstance(answer.entities, tuple)
        and len(answer.text) <= LONGEST
        and not any("\ud800" <= it <= "\udfff" for it in answer.text)
    ):
        return answer
    return Failed("its answer is neither a message, nor Drop, nor None")
