"""Who acts, and with which servers: the first argument of every operation.

An operation is a function of this package that is marked with ``@operation``. The
mark is the one door through which the command line and the API pass: it checks the
actor's scope and opens the database before the function runs.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeVar, cast

from afx.config import Settings
from afx.errors import ForbiddenError, UsageError

if TYPE_CHECKING:
    from redis import Redis

    from afx.security.vault import Vault

P = ParamSpec("P")
R = TypeVar("R")
ANY = "*"
SCOPES: dict[str, str] = {}
"""The scope that each operation needs, by ``module.function``."""
OWNED: set[str] = set()
"""The operations that actors limited to one owner may call."""
_LONGEST_REASON = 500


@dataclass(slots=True, frozen=True)
class Actor:
    """Who asks: a person at the command line, or the bearer of a token."""

    name: str
    """As the audit log shows it, for example ``cli:ann@host``."""
    scopes: frozenset[str] = frozenset((ANY,))
    """``noun:verb``; either part may be ``*``, and ``*`` alone allows everything."""
    owner: str = ""
    """A user's name: only this user's sessions exist for the actor. Empty: all do."""

    def may(self, scope: str) -> bool:
        """Return whether the actor has a scope."""
        noun, _, verb = scope.partition(":")
        return not self.scopes.isdisjoint((ANY, scope, f"{noun}:{ANY}", f"{ANY}:{verb}"))


class Servers(Protocol):
    """The servers of a process, each opened when it is first needed (see ``afx.app``)."""

    @property
    def settings(self) -> Settings:
        """The settings in force."""

    def open_database(self, *, create: bool, check: bool = True) -> None:
        """Open the database for this thread; without ``create``, no file appears."""

    def redis(self) -> Redis:
        """Return the client; raises UnreachableError when there is no server."""

    def redis_if_running(self) -> Redis | None:
        """Return the client, or None when this home's private Redis does not run."""

    def vault(self) -> Vault:
        """Return the vault of the keys in force."""

    def audit_keys(self, *, create: bool = True) -> list[bytes]:
        """Return the keys of the audit log, newest first."""

    def telegram(self, *, sandbox: bool) -> tuple[int, str, Any]:
        """Return the API's id and hash, and the server of the sandbox, if that is wanted."""

    def drop_connection(self) -> None:
        """Close this thread's connection to the database; the next operation opens one."""

    def secret_keys(self) -> list[str]:
        """Return the secret keys in force, newest first."""

    def translating(self) -> AbstractContextManager[None]:
        """Turn errors of Redis and the database inside the block into AfxErrors."""


@dataclass(slots=True, frozen=True)
class Context:
    """One actor's request: what an operation may use, and what the audit log records."""

    actor: Actor
    servers: Servers
    dry_run: bool = False
    """Do everything, then undo it: mistakes show, and nothing changes."""
    reason: str = ""
    """Why the actor makes a change; the audit log keeps it."""
    exact: bool = False
    """Only whole names and ids mean a thing: programs do not abbreviate."""
    expects: Callable[[], None] | None = None
    """Runs first in the transaction of a change; what it raises undoes the change."""

    def __post_init__(self) -> None:
        if len(self.reason) > _LONGEST_REASON or not self.reason.isprintable():
            raise UsageError(
                f"A reason has at most {_LONGEST_REASON} printable characters; shorten it."
            )

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self.servers.settings

    def require(self, scope: str, *, owned: bool = False) -> None:
        """Raise ForbiddenError unless the actor may do this.

        Actors that are limited to one owner may only do what is ``owned``: what
        looks at no session of others.
        """
        if not self.actor.may(scope):
            raise ForbiddenError(
                f"{self.actor.name} lacks the scope '{scope}'; use a token that has it."
            )
        if self.actor.owner and not owned:
            raise ForbiddenError(
                f"{self.actor.name} is limited to the sessions of user '{self.actor.owner}' "
                "and cannot act on the whole cluster."
            )

    def require_owner(self, user: str) -> None:
        """Raise ForbiddenError when the actor is limited to another user's sessions."""
        if self.actor.owner and self.actor.owner != user:
            raise ForbiddenError(
                f"{self.actor.name} is limited to the sessions of user '{self.actor.owner}'."
            )


def operation(
    scope: str, *, owned: bool = False, database: bool = True
) -> Callable[[Callable[Concatenate[Context, P], R]], Callable[Concatenate[Context, P], R]]:
    """Mark a function as an operation that needs a scope, ``noun:verb``.

    ``owned``: actors that are limited to one owner may call it, and the function
    itself hides what belongs to others. ``database``: it is open when the function
    runs; a scope that ends with ``:read`` and a dry run create no database.
    """
    writes = not scope.endswith(":read")

    def mark(
        function: Callable[Concatenate[Context, P], R],
    ) -> Callable[Concatenate[Context, P], R]:
        name = f"{function.__module__.rpartition('.')[2]}.{function.__name__}"
        SCOPES[name] = scope
        if owned:
            OWNED.add(name)

        @functools.wraps(function)
        def checked(context: Context, /, *args: P.args, **kwargs: P.kwargs) -> R:
            context.require(scope, owned=owned)
            if database:
                context.servers.open_database(create=writes and not context.dry_run)
            with context.servers.translating(), _exactness(context):
                result = function(context, *args, **kwargs)
            if isinstance(result, Iterator):
                return cast("R", _translated(context.servers, result))
            return result

        return checked

    return mark


def _exactness(context: Context) -> AbstractContextManager[None]:
    if not context.exact:
        return nullcontext()
    from models import names

    return names.exactly()


def _translated(servers: Servers, items: Iterator[Any]) -> Iterator[Any]:
    """Yield the items; what the servers raise meanwhile becomes an AfxError, too."""
    while True:
        with servers.translating():
            try:
                item = next(items)
            except StopIteration:
                return
        yield item
