"""A sandbox for tests of any Telegram client: it runs in a thread beside the test.

Calls block, so that tests may be synchronous or run any event loop of their own.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, TypeVar

from afx.sandbox.control.calls import CALLS, Sandbox
from afx.sandbox.control.listener import ControlListener
from afx.sandbox.process import public_key
from afx.sandbox.server import SandboxServer
from afx.sandbox.strictness import Strictness

Value = TypeVar("Value")


@dataclass(slots=True, frozen=True)
class TestAccount:
    """An account, and how a client signs in as it."""

    __test__ = False

    id: int
    phone: str
    username: str
    first_name: str
    login: str
    """A string for ``telethon.sessions.StringSession``: no sign-in is needed."""


@dataclass(slots=True, frozen=True)
class TestChannel:
    """A channel or supergroup; ``id`` is the marked id, as clients write it."""

    __test__ = False

    id: int
    title: str
    username: str


class LocalTelegram:
    """A running Telegram; use it as a context manager."""

    def __init__(self, *, rules: Strictness | None = None) -> None:
        self._rules = rules
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="afx-sandbox")
        self._server: SandboxServer
        self._control: ControlListener

    def __enter__(self) -> LocalTelegram:
        self._thread.start()
        self._server = self._run(self._start)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    # --- for clients --------------------------------------------------------------

    @property
    def host(self) -> str:
        """Where it listens."""
        return self._server.host

    @property
    def port(self) -> int:
        """The port of its one data centre, number 2."""
        return self._server.port

    @property
    def key(self) -> dict[str, Any]:
        """Its RSA key: ``public_key`` (PEM), ``n``, ``e`` and ``fingerprint``."""
        return public_key(self._server.rsa)

    # --- what is in it --------------------------------------------------------------

    def account(self, name: str = "", phone: str = "") -> TestAccount:
        """Create an account with a login ready for use."""
        if phone:
            self._do(lambda: self._server.world.add_account(phone, name))
            number = self._do(lambda: self._server.world.phones[phone].id)
            made = self.call("login", account=number)
        else:
            [made] = self.call("provision", count=1, name=name)
        return TestAccount(
            made["account"], made["phone"], made["username"], made["name"], made["login"]
        )

    def channel(
        self,
        title: str = "channel",
        *,
        members: Sequence[TestAccount] = (),
        posters: Sequence[TestAccount] = (),
        username: str = "",
        megagroup: bool = False,
        forum: bool = False,
        creator: TestAccount | None = None,
    ) -> TestChannel:
        """Create a channel, or with ``megagroup`` a supergroup, or with ``forum`` a forum."""
        wanted = {
            "title": title,
            "members": [it.id for it in members],
            "posters": [it.id for it in posters],
            "username": username,
            "megagroup": megagroup,
            "forum": forum,
            "creator": creator.id if creator else 0,
        }
        [made] = self.call("channels", channels=[wanted])
        return TestChannel(made["id"], title, username)

    def post(
        self, chat: TestChannel | TestAccount, text: str, author: TestAccount | None = None
    ) -> int:
        """Post a message as an account (none: the channel itself); returns its id."""
        return int(self.call("post", chat=chat.id, text=text, author=author.id if author else 0))

    def texts(
        self, chat: TestChannel | TestAccount, account: TestAccount | None = None
    ) -> list[str]:
        """Return a chat's texts, oldest first; of a private chat as ``account`` sees it."""
        viewer = account.id if account else 0
        rows = self.call("messages", chat=chat.id, account=viewer, most=100_000)
        return [it["text"] for it in rows]

    def code(self, phone: str) -> str:
        """Return the sign-in code that was sent to a phone."""
        return str(self.call("code", phone=phone))

    # --- faults ----------------------------------------------------------------------

    def fault(self, **values: Any) -> None:
        """Let requests fail: ``kind`` and the fields of ``ScriptedFault``."""
        self.call("fault", **values)

    def mischief(self, **shares: Any) -> None:
        """Cause mischief by chance: the fields of ``Mischief``."""
        self.call("mischief", **shares)

    def end_faults(self) -> None:
        """End all faults and mischief."""
        self.call("no_faults")

    def call(self, name: str, /, **arguments: Any) -> Any:
        """Make any call of the control channel (see afx/sandbox/control).

        Raises KeyError for an unknown call or an unknown account or chat.
        """
        handler = CALLS[name]
        return self._do(lambda: handler(self._sandbox, **arguments))

    # --- the thread --------------------------------------------------------------------

    @property
    def _sandbox(self) -> Sandbox:
        return self._control.sandbox

    async def _start(self) -> SandboxServer:
        server = SandboxServer(rules=self._rules)
        await server.start()
        self._control = ControlListener(server)
        return server

    async def _stop(self) -> None:
        await self._control.stop()
        await self._server.stop()
        await asyncio.sleep(0)  # connections learn of their end in the next turn

    def _run(self, start: Callable[[], Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(start(), self._loop).result()

    def _do(self, function: Callable[[], Value]) -> Value:
        async def run() -> Value:
            return function()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result()
