"""For tests of the API: the whole application in this process, without a socket."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx
from support.databases import prepare

from afx.api.application import build
from afx.api.gate import BAD_TOKENS_AT_ONCE, BAD_TOKENS_PER_SECOND
from afx.api.rates import RateLimit
from afx.api.state import Api
from afx.app import ProcessServers
from afx.config import load
from afx.operations import rules, tokens, users
from afx.operations.context import Actor, Context
from models.storage import workers
from models.storage.sessions import NewSession, reserve_ids
from models.storage.sessions import create as create_session
from models.storage.users import find as find_user

R = TypeVar("R")


class _Unlimited(RateLimit):
    """All requests come from one address here; only one that a test names is limited."""

    def __init__(self) -> None:
        super().__init__(BAD_TOKENS_PER_SECOND, BAD_TOKENS_AT_ONCE)

    def seconds_until_free(self, name: str, now: float) -> float:
        return 0.0 if name == "127.0.0.1" else super().seconds_until_free(name, now)


class TestedApi:
    """An API over a home, with two users, a session and a rule each, and a node."""

    __test__ = False

    def __init__(self, servers: ProcessServers, runner: asyncio.Runner) -> None:
        self.servers = servers
        self.context = servers.context(Actor("test"))
        self._runner = runner
        self.api: Api
        self._tokens: dict[tuple[tuple[str, ...], str], str] = {}
        self._fill()
        self._client = self.run(self._build())

    def token(self, *scopes: str, owner: str = "") -> str:
        """Return a token with these scopes."""
        key = tuple(sorted(scopes)), owner
        if key not in self._tokens:
            name = f"t{len(self._tokens)}"
            made = tokens.create(self.context, name, scopes=scopes, owner=owner)
            self._tokens[key] = made.token
            if hasattr(self, "api"):
                self.api.credentials.forget()
        return self._tokens[key]

    def send(
        self, method: str, path: str, *, token: str | None = None, **given: Any
    ) -> httpx.Response:
        """Send a request; ``token`` is by default one with all scopes, empty: none."""
        headers = dict(given.pop("headers", {}))
        if token is None:
            token = self.token("*")
        if token:
            headers["authorization"] = f"Bearer {token}"
        return self.run(self._client.request(method, path, headers=headers, **given))

    def get(self, path: str, **given: Any) -> httpx.Response:
        """Send a GET."""
        return self.send("GET", path, **given)

    def post(self, path: str, **given: Any) -> httpx.Response:
        """Send a POST; without a body, an empty one."""
        return self.send("POST", path, **given)

    def run(self, work: Coroutine[Any, Any, R]) -> R:
        """Run on the loop of the application."""
        return self._runner.run(work)

    def as_actor(self, *scopes: str) -> Context:
        """Return a context of an actor with these scopes."""
        return self.servers.context(Actor("limited", frozenset(scopes)))

    def _fill(self) -> None:
        context = self.context
        for user, session in (("alice", "a-1"), ("bob", "b-1")):
            users.add(context, user, "free")
            [number] = reserve_ids(1)
            sealed = self.servers.vault().seal("login", session_id=number)
            create_session(find_user(user), NewSession(session, sealed, session, number))
            rules.add(context, session, sources=["@news"], destinations=["@mine"], name="n")
        workers.seen_many([workers.Seen("w1", "i1", "host", "ready")])

    async def _build(self) -> httpx.AsyncClient:
        _, gate, self.api = build(self.servers, bad_tokens=_Unlimited())
        transport = httpx.ASGITransport(gate)  # type: ignore[arg-type]
        return httpx.AsyncClient(transport=transport, base_url="http://api")

    async def close(self) -> None:
        """End the threads of the application."""
        await self._client.aclose()
        await self.api.threads.close()


@contextmanager
def tested_api(home: Path, redis_url: str, **settings: Any) -> Iterator[TestedApi]:
    """Run the application over an empty home."""
    # Its sessions were added just now, and hibernate all the same.
    flags = {"web_requests_per_second": 0, "hibernate_fresh_hours": 0.0, **settings}
    prepare(home)
    with ProcessServers(load(home=home, redis_url=redis_url, **flags)) as servers:
        servers.open_database(create=True)
        with asyncio.Runner() as runner:
            api = TestedApi(servers, runner)
            try:
                yield api
            finally:
                runner.run(api.close())
