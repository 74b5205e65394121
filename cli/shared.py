"""Options that many commands share: declared here once, given as one object."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import common, output

if TYPE_CHECKING:
    from afx.app import ProcessServers
    from afx.operations.context import Context
    from afx.operations.pages import Page
    from afx.operations.requests import Requested

Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until the cluster has done it.")]
Timeout = Annotated[float, typer.Option("--timeout", min=0.1, help="How long to wait, in seconds.")]
Reason = Annotated[
    str, typer.Option("--reason", help="Why; the audit log keeps it.", metavar="TEXT")
]
_OPTIONS: dict[str, tuple[Any, Any]] = {
    "limit": (output.Limit, None),
    "after": (output.After, None),
    "everything": (output.Everything, False),
    "watch": (output.Watch, False),
    "yes": (common.Yes, False),
    "wait": (Wait, True),
    "timeout": (Timeout, 30.0),
    "dry_run": (common.DryRun, False),
    "reason": (Reason, ""),
    "redis_url": (common.RedisUrl, None),
    "database_url": (common.DatabaseUrl, None),
    "json": (common.Json, False),
}
"""Each shared option's type and default, in the order in which help lists them."""


@dataclass(slots=True, kw_only=True)
class Invocation:
    """One call of a command: its shared options, and the operations' context.

    An option that the command does not have keeps its default.
    """

    limit: int | None = None
    after: str | None = None
    everything: bool = False
    watch: bool = False
    yes: bool = False
    wait: bool = True
    timeout: float = 30.0
    dry_run: bool = False
    reason: str = ""
    redis_url: str | None = None
    database_url: str | None = None
    json: bool = False
    _servers: ProcessServers | None = field(default=None, init=False)
    _context: Context | None = field(default=None, init=False)

    def open(self, **flags: Any) -> ProcessServers:
        """Return the servers; ``flags`` are settings that the command takes itself."""
        from afx import app

        if self._servers is None or flags:
            self._servers = app.opened(
                redis_url=self.redis_url, database_url=self.database_url, **flags
            )
        return self._servers

    @property
    def context(self) -> Context:
        """What the operations need: who acts, and the servers."""
        if self._context is None:
            self._context = self.open().context(
                common.actor(), dry_run=self.dry_run, reason=self.reason
            )
        return self._context

    @property
    def after_id(self) -> int | None:
        """Where the page begins, for lists that are ordered by a number."""
        from afx.errors import UsageError

        if self.after is None:
            return None
        if not self.after.isascii() or not self.after.isdecimal() or len(self.after) > 18:
            raise UsageError("--after takes a number for this list: the last id that was shown.")
        return int(self.after)

    def close(self) -> None:
        """Close the servers that were opened."""
        if self._servers is not None:
            self._servers.close()

    def say(self, sentence: str) -> None:
        """Print what was changed, or would be."""
        common.say(sentence, dry_run=self.dry_run)

    def confirm(self, question: str) -> None:
        """Ask before something is destroyed, unless --yes or --dry-run is given."""
        common.confirm(question, self.yes or self.dry_run)

    def print_list(
        self,
        fetch: Callable[[Any, int], Page[Any]],
        columns: Sequence[str],
        cells: Callable[[Any], Sequence[Any]],
        *,
        empty: str,
        by_id: bool = False,
    ) -> None:
        """Print a list, or print it again and again with --watch.

        ``fetch`` takes (after, limit); ``empty`` is printed when there is no row;
        ``by_id``: the list is ordered by a number.
        """
        after = self.after_id if by_id else self.after
        output.repeat(
            lambda: output.print_list(
                fetch,
                columns,
                cells,
                as_json=self.json,
                limit=self.limit,
                after=after,
                everything=self.everything,
                empty=empty,
            ),
            self.watch,
        )

    def finish(self, requested: Sequence[Requested], what: str) -> None:
        """Wait for requests as --wait and --timeout say, and print what became of them."""
        self.finish_rounds([requested], what)

    def finish_rounds(self, rounds: Iterable[Sequence[Requested]], what: str) -> None:
        """Do the same round after round: each is finished before the next is requested."""
        from cli import waiting

        waiting.finish(
            self.context,
            rounds,
            what,
            timeout=self.timeout if self.wait else None,
            as_json=self.json,
        )


def shared(
    *names: str, change: bool = False, pages: bool = False, timeout: float | None = None
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command shared options; its first parameter gets them as an Invocation.

    ``names`` are of ``_OPTIONS``. ``change`` adds --dry-run and --reason; ``pages`` the
    options of a paged list; ``timeout``, with its default, those of a command that waits.
    """
    chosen = set(names)
    defaults = {name: default for name, (_, default) in _OPTIONS.items()}
    if change:
        chosen |= {"dry_run", "reason"}
    if pages:
        chosen |= {"limit", "after", "everything"}
    if timeout is not None:
        chosen |= {"wait", "timeout"}
        defaults["timeout"] = timeout
    options = [name for name in _OPTIONS if name in chosen]
    opens_early = "json" in chosen and not chosen.isdisjoint(("redis_url", "database_url"))
    added = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=defaults[name],
            annotation=_OPTIONS[name][0],
        )
        for name in options
    ]

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(function)
        def command(**given: Any) -> None:
            invocation = Invocation(**{name: given.pop(name) for name in options})
            try:
                if opens_early:
                    # The settings say what of the libraries is needed: the function imports them.
                    invocation.open()
                function(invocation, **given)
            finally:
                invocation.close()

        signature = inspect.signature(function, eval_str=True)
        own = list(signature.parameters.values())[1:]
        parameters = [it.replace(kind=inspect.Parameter.KEYWORD_ONLY) for it in own] + added
        # Typer reads a command's options from its signature.
        command.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {it.name: it.annotation for it in parameters}
        return command

    return decorate
