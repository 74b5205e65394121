"""Who asks: the tokens that are valid, as the database had them at most two seconds ago."""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from afx.api import cookies
from afx.api.cookies import SignIn
from afx.api.threads import Threads
from afx.errors import UnreachableError
from afx.operations import tokens
from afx.operations.context import Context
from afx.operations.tokens import ValidToken

_FRESH_SECONDS = 2.0
_OLDEST_SECONDS = 5.0
"""While the database is away, tokens are accepted for so long; then nobody is."""
_AGAIN_SECONDS = 0.25
"""An unknown token may be new: the database is asked again, so often at most."""


class Credentials:
    """The valid tokens, read again as needed; and when each was last used."""

    def __init__(
        self,
        context: Context,
        threads: Threads,
        keys: list[bytes],
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.keys = keys
        self._context = context
        self._threads = threads
        self._clock = clock
        self._now = now
        self._tokens: Mapping[str, ValidToken] = {}
        self._signed_out: frozenset[str] = frozenset()
        self._read_at = float("-inf")
        self._reading: asyncio.Lock | None = None
        self._uses: dict[int, datetime] = {}

    async def bearer(self, text: str) -> ValidToken | None:
        """Return the token of an Authorization header; None: it is not valid."""
        accessor = tokens.accessor_of(text)
        if accessor is None:
            return None
        found = await self._find(accessor)
        if found is None or not hmac.compare_digest(found.digest, tokens.digest_of(text)):
            return None
        return self._used(found)

    async def signed_in(self, cookie: str) -> tuple[ValidToken, SignIn] | None:
        """Return the token that a browser's cookie names, and its sign-in; None: not valid."""
        sign_in = cookies.opened(cookie, self.keys, self._now())
        if sign_in is None:
            return None
        found = await self._find(sign_in.accessor)
        if found is None or sign_in.nonce in self._signed_out:
            return None
        return self._used(found), sign_in

    async def hold(self, token: ValidToken, sign_in: SignIn | None) -> bool:
        """Return whether a token that was valid still is, and the sign-in by which it came.

        While the database is away nothing is known of it, and it holds.
        """
        try:
            found = await self._find(token.accessor)
        except UnreachableError:
            return True
        if found is None or found.digest != token.digest:
            return False
        if sign_in is None:
            return True
        return sign_in.nonce not in self._signed_out and sign_in.expires_at > self._now()

    async def sign_out(self, sign_in: SignIn) -> None:
        """End a browser's sign-in, here at once, and in other processes within two seconds."""
        until = datetime.fromtimestamp(sign_in.expires_at, UTC)
        self._signed_out |= {sign_in.nonce}
        await self._threads.change(lambda: tokens.sign_out(self._context, sign_in.nonce, until))

    async def note_used(self) -> None:
        """Write when tokens were last used; what the database does not take is tried again."""
        uses, self._uses = self._uses, {}
        if not uses:
            return
        try:
            await self._threads.change(lambda: tokens.note_used(self._context, list(uses.items())))
        except UnreachableError:
            self._uses = uses | self._uses

    def forget(self) -> None:
        """Read the tokens again before the next request."""
        self._read_at = float("-inf")

    async def _find(self, accessor: str) -> ValidToken | None:
        age = self._clock() - self._read_at
        if age > _FRESH_SECONDS:
            await self._read(_FRESH_SECONDS)
        elif accessor not in self._tokens and age > _AGAIN_SECONDS:
            await self._read(_AGAIN_SECONDS)
        found = self._tokens.get(accessor)
        if found is None or found.expires_at.timestamp() <= self._now():
            return None
        return found

    async def _read(self, at_most: float) -> None:
        if self._reading is None:
            self._reading = asyncio.Lock()
        async with self._reading:
            asked_at = self._clock()
            if asked_at - self._read_at <= at_most:
                return  # another request has read them meanwhile
            try:
                found, ended = await self._threads.read(lambda: tokens.valid(self._context))
            except UnreachableError:
                if asked_at - self._read_at > _OLDEST_SECONDS:
                    raise
                return
            self._tokens, self._signed_out = found, ended | self._signed_out
            self._read_at = asked_at

    def _used(self, found: ValidToken) -> ValidToken:
        self._uses[found.id] = datetime.fromtimestamp(self._now(), UTC)
        return found
