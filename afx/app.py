"""Composition root: opens settings, database, Redis and vault for the faces of afx.

``cli`` and ``afx.api`` get their servers here and call ``afx.operations`` with them.
Imports are inside functions: the help of a command must not load a database driver.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NoReturn

from afx.config import Settings, load, make_home
from afx.errors import UsageError
from afx.servers import ProcessServers

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence
    from pathlib import Path

    from afx.lab.demo import DemoResult as DemoResult  # noqa: PLC0414
    from afx.lab.demo import DemoState as DemoState  # noqa: PLC0414
    from afx.operations.context import Actor, Context
    from afx.proxies import Proxy
    from afx.sandbox.client import SandboxClient
    from afx.telegram.proxy_check import Check
    from afx.verify.result import Result as Result  # noqa: PLC0414

__all__ = [
    "ProcessServers",
    "SignedIn",
    "check_key",
    "check_proxies",
    "command_name",
    "context_for",
    "node_name",
    "opened",
    "private_redis",
    "run_api",
    "run_cluster",
    "run_coordinator",
    "run_demo",
    "run_full_verify",
    "run_sandbox",
    "run_scale_command",
    "run_verify",
    "run_worker",
    "sandbox_client",
    "sign_in",
    "split_command",
    "stop_private_redis",
]


@dataclass(slots=True, frozen=True)
class SignedIn:
    """What a sign-in gave."""

    login: str
    account: str
    """Who it is, for people."""
    account_id: int
    bot: bool


def opened(**flags: Any) -> ProcessServers:
    """Return the servers that the settings and the given flags name; None: not given."""
    return ProcessServers(load(**flags), alone=True)


def context_for(settings: Settings, name: str) -> Context:
    """Return a context for a program that has opened its database itself: a lab, a test."""
    from afx.operations.context import Actor

    return ProcessServers(settings).context(Actor(name))


def run_coordinator(settings: Settings) -> bool:
    """Run a coordinator until it is stopped; True when it is to be restarted."""
    import signal

    from afx.coordinator.loop import Coordinator
    from afx.logs import configure
    from afx.security.memory import protect_memory
    from models.timeouts import Timeouts

    protect_memory()
    configure(settings.log_level)
    with ProcessServers(settings) as servers:
        url = servers.redis_url(start=True)
        _check_replication(url)
        servers.open_database(create=True, timeouts=Timeouts.within(settings.tick_limit_seconds))
        coordinator = Coordinator(settings, url, servers.vault())
        signal.signal(signal.SIGTERM, coordinator.request_stop)
        signal.signal(signal.SIGINT, coordinator.request_stop)
        return coordinator.run()


def _check_replication(url: str) -> None:
    """Raise ConfigError when Redis is replicated unsafely; one that is away is waited for."""
    from contextlib import closing, suppress

    import redis

    from afx.cluster.connection import connect
    from afx.cluster.replication import require_safe

    with closing(connect(url)) as client, suppress(redis.RedisError):
        require_safe(client)


def node_name(name: str | None, processes: int = 1) -> str:
    """Return a worker node's name: the given one, or the host's with a random number.

    Raises UsageError for a name that cannot be part of a key, or is too long for the names
    of its processes.
    """
    import secrets
    import socket

    from afx.process_names import LONGEST_NAME, LONGEST_NODE_NAME

    name = name or f"{socket.gethostname().split('.')[0]}-{secrets.token_hex(2)}"
    if not name.replace("-", "").replace("_", "").isalnum():
        raise UsageError("A node's name has letters, digits, - and _ only; choose another.")
    most = LONGEST_NAME if processes == 1 else LONGEST_NODE_NAME
    if len(name) > most:
        raise UsageError(
            f"A node's name has no more than {most} characters, and this has {len(name)}; "
            "choose another."
        )
    return name


def run_worker(settings: Settings, name: str, *, restart: Sequence[str]) -> NoReturn:
    """Become a worker node: another program, under the same pid, which needs less RAM.

    ``restart`` is the command that it becomes when it was recycled.
    """
    from afx.cluster.connection import connect, reachable
    from afx.node.supervisor_launcher import become_supervisor
    from afx.security.keyfile import read_keys
    from afx.security.memory import protect_memory

    protect_memory()
    url = ProcessServers(settings).redis_url(start=True)
    # A node that made a key of its own could open no login, and verify no order.
    read_keys(settings.home, settings.secret_key.get_secret_value(), create=False)
    with reachable(url):
        client = connect(url)
        client.ping()
        client.close()
    become_supervisor(settings.for_node(), redis_url=url, node=name, restart=restart)


def run_api(servers: ProcessServers, *, notify: Callable[[str], None], behind_proxy: bool) -> None:
    """Serve the REST API and the dashboard until it is stopped; ``notify`` gets its address."""
    from afx.api.server import serve

    prepare_process(servers.settings)
    serve(servers, notify=notify, behind_proxy=behind_proxy)


def prepare_process(settings: Settings) -> None:
    """Set up the log of a process that serves, and keep its memory from others."""
    from afx.logs import configure
    from afx.security.memory import protect_memory

    protect_memory()
    configure(settings.log_level)


def run_cluster(
    settings: Settings, *, nodes: int, notify: Callable[[str], None], most_nodes: int = 0
) -> None:
    """Run a whole cluster on this machine until it is stopped; ``notify`` gets its news.

    ``most_nodes``: nodes are added and removed as needed, up to so many; 0: never.

    Raises UsageError when one runs in this home already.
    """
    from afx.local import cluster
    from afx.local.home_lock import home_lock

    make_home(settings.home)
    with home_lock(settings.home, "up", "afx up"):
        # The database and the key exist before the coordinator looks for them.
        with ProcessServers(settings) as servers:
            servers.open_database(create=True)
            servers.vault()
            if most_nodes:
                cluster.remove_left_over(servers)
        cluster.run_cluster(settings, nodes=nodes, notify=notify, most_nodes=most_nodes)


def split_command(command: str) -> list[str]:
    """Return the words of a command; raises UsageError for one that has none."""
    from afx.local import hook_command

    return hook_command.split(command)


def run_scale_command(
    settings: Settings, words: list[str], variables: dict[str, str], *, timeout_seconds: float
) -> None:
    """Run the command of a provider of nodes to its end, one at a time in a home.

    Raises AfxError when it fails, takes too long, or an earlier one still runs.
    """
    from afx.errors import AfxError
    from afx.local import hook_command
    from afx.local.home_lock import home_lock

    make_home(settings.home)
    try:
        with home_lock(settings.home, "scale", "afx scale check --exec"):
            hook_command.run(words, variables, timeout_seconds=timeout_seconds)
    except UsageError as error:
        raise AfxError(str(error)) from error


def command_name() -> str:
    """Return how a person at this terminal calls afx: ``afx``, or the path of the script."""
    from afx.local import command_name

    return command_name.command_name()


def run_demo(
    home: Path,
    *,
    workers: int,
    sessions: int,
    messages: int,
    rate: float,
    kill: bool,
    show: Callable[[DemoState], None],
    redis_url: str = "",
    database_url: str = "",
) -> DemoResult:
    """Run a cluster with a sandbox in an empty home, post messages, and judge the copies.

    ``rate`` is in posts per second; ``kill`` ends one node in mid-stream; ``show`` gets
    each new state. Raises UsageError when no node would be left to take over.
    """
    from afx.lab.cluster import LabCluster, temporary_settings
    from afx.lab.demo import Demo

    if kill and workers < 2:
        raise UsageError(
            "With one worker no node is left to take over; add --no-kill or more --workers."
        )
    settings = temporary_settings(home, redis_url=redis_url, database_url=database_url)
    with LabCluster(settings) as lab:
        return Demo(
            lab,
            workers=workers,
            sessions=sessions,
            messages=messages,
            rate=rate,
            kill=kill,
            show=show,
        ).run()


def run_verify(
    servers: ProcessServers, actor: Actor, *, web_url: str, timeout_seconds: float
) -> Iterator[Result]:
    """Run the nine tests against the cluster without harming it; yield each result.

    On a private sandbox of this home a session is added for them, and removed.
    """
    import contextlib

    from afx.errors import AfxError
    from afx.sandbox.client import ADDRESS_FILE
    from afx.verify.canary import canary
    from afx.verify.result import Target
    from afx.verify.run import run

    settings = servers.settings
    scheme = "https" if settings.web_certificate else "http"
    target = Target(
        servers.context(actor, reason="afx verify"),
        web_url or f"{scheme}://{settings.web_host}:{settings.web_port}",
        seconds=timeout_seconds,
    )
    with contextlib.ExitStack() as closing:
        if (settings.home / ADDRESS_FILE).exists():
            try:
                client = closing.enter_context(sandbox_client(settings))
                own = closing.enter_context(canary(target.context, client.call))
                target = replace(target, canary=own)
            except AfxError as error:
                target = replace(target, no_canary=str(error).rstrip("."))
        yield from run(target)


def run_full_verify(home: Path, *, show: Callable[[str], None]) -> Iterator[Result]:
    """Run the nine tests on a cluster of their own in an empty home; yield each result."""
    from afx.lab.cluster import LabCluster, temporary_settings
    from afx.lab.verification import VARIABLES, Verification

    with LabCluster(temporary_settings(home), variables=VARIABLES) as lab:
        yield from Verification(lab, show=show).run()


def private_redis(settings: Settings) -> tuple[bool, str]:
    """Return whether the private Redis of the home runs, and its URL."""
    from afx.local import private_redis as server

    return server.is_running(settings.home), server.url_for(settings.home)


def stop_private_redis(settings: Settings) -> bool:
    """Save and stop the private Redis of the home; False when none runs."""
    from afx.local import private_redis as server

    return server.stop(settings.home)


def check_key(settings: Settings) -> None:
    """Raise SecretError when the home has a key file that holds no key."""
    from afx.security.keyfile import KEY_FILE, read_keys

    if (settings.home / KEY_FILE).exists():
        read_keys(settings.home, settings.secret_key.get_secret_value(), create=False)


def run_sandbox(
    settings: Settings, *, port: int, started: Callable[[dict[str, Any]], None]
) -> None:
    """Run the sandbox, a local Telegram, until it is stopped; ``started`` gets its address."""
    from afx.sandbox.process import run

    make_home(settings.home)
    run(settings.home, port=port, started=started)


def sandbox_client(settings: Settings) -> SandboxClient:
    """Return a client of the sandbox that runs in this home."""
    from afx.sandbox.client import find

    return find(settings.home)


def sign_in(
    settings: Settings,
    *,
    ask: Callable[[str, bool], Awaitable[str]],
    show_qr: Callable[[str], None] | None,
    phone: str,
    bot: bool,
    sandbox: bool,
    proxy_url: str = "",
    device: str = "",
) -> SignedIn:
    """Sign in to Telegram, or to the sandbox of this home, and return the login.

    ``ask`` gets a question and whether the answer is secret; ``show_qr`` gets each
    URL to be scanned, and None means by phone; a ``bot`` has a token. With ``proxy_url``
    through this proxy alone; ``device`` is what ``afx.devices`` writes.
    Raises ConfigError without API keys.
    """
    import asyncio

    from afx.devices import parse_device
    from afx.telegram import login

    api_id, api_hash, server = ProcessServers(settings).telegram(sandbox=sandbox)
    signed = asyncio.run(
        login.sign_in(
            api_id=api_id,
            api_hash=api_hash,
            ask=ask,
            show_qr=show_qr,
            phone=phone,
            bot=bot,
            server=server,
            proxy=_proxy_of(proxy_url),
            device=parse_device(device) if device else None,
        )
    )
    return SignedIn(signed.login, signed.account, signed.account_id, signed.bot)


def sign_out(settings: Settings, text: str, *, sandbox: bool, proxy_url: str = "") -> None:
    """End a login, given as a session string, at Telegram, or at the sandbox of this home.

    Raises UnreachableError when that is not known to have been done.
    """
    import asyncio

    from afx.telegram import login

    api_id, api_hash, server = ProcessServers(settings).telegram(sandbox=sandbox)
    asyncio.run(
        login.sign_out(
            text, api_id=api_id, api_hash=api_hash, server=server, proxy=_proxy_of(proxy_url)
        )
    )


def check_proxies(settings: Settings, urls: Sequence[str], *, sandbox: bool) -> list[Check]:
    """Return what becomes of a question to Telegram, or to the sandbox, through proxies."""
    import asyncio

    from afx.proxies import parse_proxy
    from afx.sandbox.client import server_of
    from afx.telegram import proxy_check

    server = server_of(settings.home) if sandbox else None
    return asyncio.run(proxy_check.check_proxies([parse_proxy(it) for it in urls], server))


def _proxy_of(url: str) -> Proxy | None:
    from afx.proxies import parse_proxy

    return parse_proxy(url) if url else None
