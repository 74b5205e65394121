"""Proxies: by which ways sessions reach Telegram, and which of them work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from afx.errors import ConflictError, UsageError
from afx.operations.changes import change
from afx.operations.context import Context, operation
from afx.operations.leader import wake_leader
from afx.operations.pages import Page, page_of
from afx.operations.sessions import check_vault
from afx.proxies import parse_proxy
from models.proxy_tables import Proxy
from models.storage import proxies, sessions
from models.storage.proxies import NewProxy

_MOST_AT_ONCE = 1_000


@dataclass(slots=True, frozen=True)
class ProxyRow:
    """One proxy of a list; what is secret of it is shown nowhere."""

    id: int
    name: str
    pool: str
    kind: str
    """socks5, http or mtproxy."""
    host: str
    port: int
    requires: Mapping[str, str]
    """Labels of the nodes from which it can be reached."""
    state: str
    """unknown, works or fails."""
    state_since: datetime | None
    checked_at: datetime | None
    error: str
    """Why it fails."""
    sessions: int
    """How many sessions have it."""
    created_at: datetime


@dataclass(slots=True, frozen=True)
class Opened:
    """A proxy with its secrets, for a connection that is about to be made."""

    id: int
    name: str
    url: str


@operation("proxy:read")
def listing(
    context: Context, *, pool: str = "", after: str | None = None, limit: int = 100
) -> Page[ProxyRow]:
    """Return proxies by name; ``pool``: of this one only."""
    del context
    return page_of(ProxyRow, proxies.listing(pool=pool, after=after, limit=limit))


@operation("proxy:read")
def show(context: Context, name: str) -> ProxyRow:
    """Return one proxy; raises NotFoundError when there is none."""
    del context
    return ProxyRow(**proxies.describe(proxies.find(name)))


@operation("proxy:read")
def names_beginning(context: Context, prefix: str) -> list[str]:
    """Return a few proxies' names that begin with a text."""
    del context
    return proxies.names_beginning(prefix)


@operation("proxy:write")
def add(
    context: Context, name: str, url: str, *, pool: str = "", requires: Mapping[str, str]
) -> int:
    """Add a proxy; returns its id. Raises UsageError for what is none.

    ``requires``: labels of the nodes from which it can be reached; a session that has it
    runs on such a node only.
    """
    proxy = parse_proxy(url)
    vault = context.servers.vault()
    check_vault(vault)
    with change(context, "proxy.add", f"proxy/{name}") as details:
        proxy_id = proxies.add(
            NewProxy(
                name,
                pool,
                proxy.kind,
                proxy.host,
                proxy.port,
                requires,
                lambda made: vault.seal_proxy(proxy.url, proxy_id=made),
            )
        )
        details["after"] = {"proxy": str(proxy), "pool": pool, "requires": dict(requires)}
    return proxy_id


@operation("proxy:write")
def remove(context: Context, name: str) -> str:
    """Remove a proxy that no session has; returns its full name."""
    proxy = proxies.find(name)
    with change(context, "proxy.remove", f"proxy/{proxy.name}") as details:
        details["before"] = {"kind": proxy.kind, "host": proxy.host, "port": proxy.port}
        proxies.remove(proxy)
    return str(proxy.name)


@operation("proxy:write")
def opened(context: Context, names: Sequence[str] = (), *, pool: str = "") -> list[Opened]:
    """Return proxies with their secrets: those of these names, or of a pool, or all.

    Raises UsageError for an unknown one, and for more than can be checked at once.
    """
    chosen = [proxies.find(it) for it in names]
    if not names:
        page = proxies.listing(pool=pool, limit=_MOST_AT_ONCE)
        if page.next is not None:
            raise UsageError(
                f"There are more than {_MOST_AT_ONCE} proxies; give the names of some, or a pool."
            )
        chosen = [proxies.find(str(it["id"])) for it in page.rows]
    return [_opened(context, it) for it in chosen]


@operation("proxy:write")
def note_checks(context: Context, checks: Sequence[tuple[int, str]]) -> None:
    """Note what checks found, as (proxy, why it fails; empty: it works)."""
    if not context.dry_run:
        proxies.note(checks)


@operation("proxy:write")
def choose(context: Context, *, proxy: str = "", pool: str = "") -> Opened:
    """Return a proxy by its name, or that of a pool which fewest sessions have."""
    if bool(proxy) == bool(pool):
        raise UsageError("Give the name of a proxy, or of a pool.")
    return _opened(context, proxies.find(proxy) if proxy else proxies.least_used(pool))


@operation("session:write")
def of_session(context: Context, name: str) -> Opened | None:
    """Return the proxy of a session with its secrets: a sign-in has to use it."""
    proxy = proxies.of_session(sessions.find(name).id)
    return None if proxy is None else _opened(context, proxy)


@operation("session:write")
def assign(
    context: Context, name: str, *, proxy: str = "", pool: str = "", none: bool = False
) -> tuple[str, str, bool]:
    """Let a session connect by way of one proxy only; returns (session, proxy, whether changed).

    The proxy is named, or it is that of a pool which fewest sessions have; then the session
    keeps it wherever it runs, until it is given another. ``none``: it connects directly. One
    that runs is stopped before it starts with another.
    """
    if [bool(proxy), bool(pool), none].count(True) != 1:
        raise UsageError("Give one of --proxy, --pool and --no-proxy.")
    session = sessions.find(name)
    before = proxies.of_session(session.id)
    if pool and before is not None and before.pool == pool and before.state != "fails":
        return session.name, before.name, False
    with change(context, "session.proxy", f"session/{session.name}") as details:
        chosen: Proxy | None = None
        if not none:
            chosen = proxies.find(proxy) if proxy else proxies.least_used(pool)
        after = "" if chosen is None else str(chosen.name)
        changed = proxies.assign(session, chosen)
        details["before"] = {"proxy": "" if before is None else before.name}
        details["after"] = {"proxy": after}
    wake_leader(context)
    return session.name, after, changed


def _opened(context: Context, proxy: Proxy) -> Opened:
    vault = context.servers.vault()
    url = vault.open_proxy(proxy.sealed, proxy_id=proxy.id)
    found = parse_proxy(url)
    if (found.kind, found.host, found.port) != (proxy.kind, proxy.host, proxy.port):
        raise ConflictError(
            f"The row of the proxy '{proxy.name}' was changed; remove it and add it anew."
        )
    return Opened(int(proxy.id), str(proxy.name), url)
