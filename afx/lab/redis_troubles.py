"""Lets a Redis answer with errors; each function returns what mends it.

The server is one of a lab or a test alone. Mending may be repeated, and raises
redis.RedisError while the server does not answer.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import redis

from afx.cluster.connection import connect
from afx.cluster.redis_faults import RedisFault, fault_of
from afx.lab.waiting import wait_until

Undo = Callable[[], None]
_NOWHERE = ("127.0.0.1", 1)
_WAIT_SECONDS = 20.0
_PROBE = "afx:probe"


def run_out_of_memory(client: redis.Redis) -> Undo:
    """Let it refuse writes with OOM; it evicts nothing."""
    client.config_set("maxmemory", 1)

    def mend() -> None:
        client.config_set("maxmemory", 0)

    return mend


def become_replica(client: redis.Redis) -> Undo:
    """Let it refuse writes with READONLY: it is the replica of a primary that is gone."""
    client.replicaof(*_NOWHERE)

    def mend() -> None:
        client.replicaof("NO", "ONE")

    return mend


def lose_replicas(client: redis.Redis) -> Undo:
    """Let it refuse writes with NOREPLICAS."""
    client.config_set("min-replicas-to-write", 1)

    def mend() -> None:
        client.config_set("min-replicas-to-write", 0)

    return mend


def deny_writes(client: redis.Redis) -> Undo:
    """Let it refuse writes with NOPERM: the user has no such permission any more."""
    client.execute_command("ACL", "SETUSER", "default", "-@write")  # type: ignore[no-untyped-call]

    def mend() -> None:
        client.execute_command(  # type: ignore[no-untyped-call]
            "ACL", "SETUSER", "default", "+@all"
        )

    return mend


def be_busy(client: redis.Redis, url: str) -> Undo:
    """Let it refuse all commands with BUSY: a script runs without an end."""
    client.config_set("busy-reply-threshold", 1)
    other = connect(url, timeout_seconds=3600.0)

    def run() -> None:
        try:
            other.eval("while true do end", 0)
        except redis.RedisError:
            pass  # it was killed, or the server was
        finally:
            other.close()

    threading.Thread(target=run, name="busy Redis", daemon=True).start()
    wait_until(
        lambda: fault_in(client) is RedisFault.BUSY,
        what="Redis is busy",
        seconds=_WAIT_SECONDS,
    )

    def mend() -> None:
        if fault_in(client) is RedisFault.BUSY:
            client.script_kill()
            wait_until(
                lambda: fault_in(client) is not RedisFault.BUSY,
                what="the script is killed",
                seconds=_WAIT_SECONDS,
            )
        client.config_set("busy-reply-threshold", 5000)

    return mend


def fail_to_save(client: redis.Redis, data: Path) -> Undo:
    """Let it refuse writes with MISCONF: it cannot write its file in the folder ``data``."""
    file = data / str(client.config_get("dbfilename")["dbfilename"])
    file.unlink(missing_ok=True)
    (file / "in the way").mkdir(parents=True)
    client.config_set("save", "3600 1")
    client.bgsave()
    wait_until(
        lambda: fault_in(client) is RedisFault.CANNOT_SAVE,
        what="Redis cannot save",
        seconds=_WAIT_SECONDS,
    )

    def mend() -> None:
        client.config_set("save", "")
        shutil.rmtree(file, ignore_errors=True)

    return mend


def fault_in(client: redis.Redis) -> RedisFault | None:
    """Return with which fault a write is refused, None when it is not."""
    try:
        client.set(_PROBE, "")
        client.delete(_PROBE)
    except redis.RedisError as error:
        return fault_of(error)
    return None
