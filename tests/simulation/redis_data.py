"""The data of a simulated Redis, and the commands that the real code uses.

A command that is missing ends the schedule, so that a change of the real code is noticed.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

Value = dict[bytes, bytes] | dict[bytes, float] | set[bytes] | list[bytes] | bytes | Any
OK = b"OK"


class RedisError(Exception):
    """An error that the server answers."""


class Stream:
    """A stream: entries in the order of their ids."""

    def __init__(self) -> None:
        self.entries: list[tuple[tuple[int, int], list[bytes]]] = []
        self.last = (0, 0)


class Data:
    """All keys, with their times to live."""

    def __init__(self, wall_clock: Callable[[], float]) -> None:
        self.wall_clock = wall_clock
        self.keys: dict[bytes, Value] = {}
        self.expires: dict[bytes, float] = {}
        self.written: set[bytes] = set()
        """Keys that were written since the owner last cleared it."""

    def snapshot(self) -> tuple[Any, Any]:
        """Return a copy of all that is stored."""
        return copy.deepcopy((self.keys, self.expires))

    def restore(self, snapshot: tuple[Any, Any]) -> None:
        """Go back to a copy."""
        self.keys, self.expires = copy.deepcopy(snapshot)

    def call(self, name: bytes, *arguments: bytes) -> Any:
        """Run one command; raises RedisError."""
        command = _COMMANDS.get(name.upper())
        if command is None:
            raise NotImplementedError(f"the model of Redis lacks {name.decode()}")
        return command(self, *arguments)

    # --- keys ---------------------------------------------------------------------------

    def find(self, key: bytes, kind: type) -> Any:
        """Return a key's value, None for none; raises RedisError for another type."""
        until = self.expires.get(key)
        if until is not None and until <= self.wall_clock():
            self.keys.pop(key, None)
            del self.expires[key]
        value = self.keys.get(key)
        if value is not None and type(value) is not kind:
            raise RedisError("WRONGTYPE Operation against a key holding the wrong kind of value")
        return value

    def _make(self, key: bytes, kind: type) -> Any:
        value = self.find(key, kind)
        if value is None:
            value = self.keys[key] = kind()
        self.written.add(key)
        return value

    def _drop_empty(self, key: bytes) -> None:
        if not self.keys.get(key):
            self.keys.pop(key, None)
            self.expires.pop(key, None)

    def _exists(self, key: bytes) -> bool:
        until = self.expires.get(key)
        return key in self.keys and (until is None or until > self.wall_clock())

    def delete(self, *keys: bytes) -> int:
        count = 0
        for key in keys:
            count += self._exists(key)
            self.keys.pop(key, None)
            self.expires.pop(key, None)
        return count

    def exists(self, *keys: bytes) -> int:
        return sum(self._exists(key) for key in keys)

    def type(self, key: bytes) -> Any:
        names = {bytes: "string", dict: "hash", set: "set", list: "list", SortedSet: "zset"}
        kind = names.get(type(self.keys[key]), "stream") if self._exists(key) else "none"
        return Status(kind.encode())

    def rename(self, key: bytes, new: bytes) -> Any:
        if not self._exists(key):
            raise RedisError("ERR no such key")
        self.keys[new] = self.keys.pop(key)
        self.expires.pop(new, None)
        if key in self.expires:
            self.expires[new] = self.expires.pop(key)
        return Status(OK)

    def _expire_in(self, key: bytes, seconds: float, *options: bytes) -> int:
        if not self._exists(key) or (b"NX" in _upper(options) and key in self.expires):
            return 0
        self.expires[key] = self.wall_clock() + seconds
        return 1

    def expire(self, key: bytes, seconds: bytes, *options: bytes) -> int:
        return self._expire_in(key, int(seconds), *options)

    def persist(self, key: bytes) -> int:
        return int(self._exists(key) and self.expires.pop(key, None) is not None)

    def pexpire(self, key: bytes, milliseconds: bytes, *options: bytes) -> int:
        return self._expire_in(key, int(milliseconds) / 1000, *options)

    def pttl(self, key: bytes) -> int:
        if not self._exists(key):
            return -2
        until = self.expires.get(key)
        return -1 if until is None else int((until - self.wall_clock()) * 1000)

    def flushall(self) -> Any:
        self.keys.clear()
        self.expires.clear()
        return Status(OK)

    # --- strings ------------------------------------------------------------------------

    def get(self, key: bytes) -> Any:
        return self.find(key, bytes)

    def getrange(self, key: bytes, first: bytes, last: bytes) -> bytes:
        end = int(last) + 1
        return bytes((self.find(key, bytes) or b"")[int(first) : end if end else None])

    def mget(self, *keys: bytes) -> list[Any]:
        return [self.keys.get(it) if self._is(it, bytes) else None for it in keys]

    def _is(self, key: bytes, kind: type) -> bool:
        return self._exists(key) and type(self.keys[key]) is kind

    def set(self, key: bytes, value: bytes, *options: bytes) -> Any:
        names = _upper(options)
        if b"NX" in names and self._exists(key):
            return None
        self.keys[key] = value
        self.written.add(key)
        self.expires.pop(key, None)
        if b"PX" in names:
            self._expire_in(key, int(options[names.index(b"PX") + 1]) / 1000)
        if b"EX" in names:
            self._expire_in(key, int(options[names.index(b"EX") + 1]))
        return Status(OK)

    def incrby(self, key: bytes, amount: bytes = b"1") -> int:
        value = _integer(self.find(key, bytes) or b"0") + _integer(amount)
        self.keys[key] = b"%d" % value
        return value

    # --- hashes ---------------------------------------------------------------------------

    def hget(self, key: bytes, field: bytes) -> Any:
        return (self.find(key, dict) or {}).get(field)

    def hmget(self, key: bytes, *fields: bytes) -> list[Any]:
        found = self.find(key, dict) or {}
        return [found.get(it) for it in fields]

    def hgetall(self, key: bytes) -> list[bytes]:
        return [part for pair in (self.find(key, dict) or {}).items() for part in pair]

    def hkeys(self, key: bytes) -> list[bytes]:
        return list(self.find(key, dict) or {})

    def hlen(self, key: bytes) -> int:
        return len(self.find(key, dict) or {})

    def hstrlen(self, key: bytes, field: bytes) -> int:
        return len((self.find(key, dict) or {}).get(field, b""))

    def hset(self, key: bytes, *pairs: bytes) -> int:
        if not pairs or len(pairs) % 2:
            raise RedisError("ERR wrong number of arguments for 'hset' command")
        value = self._make(key, dict)
        before = len(value)
        value.update(zip(pairs[::2], pairs[1::2], strict=True))
        return len(value) - before

    def hsetnx(self, key: bytes, field: bytes, value: bytes) -> int:
        found = self._make(key, dict)
        if field in found:
            return 0
        found[field] = value
        return 1

    def hdel(self, key: bytes, *fields: bytes) -> int:
        found = self.find(key, dict) or {}
        count = sum(found.pop(it, None) is not None for it in fields)
        self._drop_empty(key)
        return count

    def hincrby(self, key: bytes, field: bytes, amount: bytes) -> int:
        found = self._make(key, dict)
        try:
            value = int(found.get(field, b"0")) + _integer(amount)
        except ValueError:
            raise RedisError("ERR hash value is not an integer") from None
        found[field] = b"%d" % value
        return value

    # --- sets and sorted sets ---------------------------------------------------------------

    def sadd(self, key: bytes, *members: bytes) -> int:
        found = self._make(key, set)
        before = len(found)
        found.update(members)
        return len(found) - before

    def srem(self, key: bytes, *members: bytes) -> int:
        found = self.find(key, set) or set()
        count = len(found & set(members))
        found.difference_update(members)
        self._drop_empty(key)
        return count

    def smembers(self, key: bytes) -> list[bytes]:
        return sorted(self.find(key, set) or ())

    def sdiffstore(self, target: bytes, first: bytes, *others: bytes) -> int:
        found = set(self.find(first, set) or ())
        for it in others:
            found -= self.find(it, set) or set()
        self.keys[target] = found
        self._drop_empty(target)
        return len(found)

    def zadd(self, key: bytes, *pairs: bytes) -> int:
        found = self._make(key, SortedSet)
        before = len(found)
        found.update((m, float(s)) for s, m in zip(pairs[::2], pairs[1::2], strict=True))
        return len(found) - before

    def zrem(self, key: bytes, *members: bytes) -> int:
        found = self.find(key, SortedSet) or {}
        count = sum(found.pop(it, None) is not None for it in members)
        self._drop_empty(key)
        return count

    def zremrangebyscore(self, key: bytes, _low: bytes, high: bytes) -> int:
        found = self.find(key, SortedSet) or {}
        return self.zrem(key, *[m for m, score in found.items() if score <= float(high)])

    def zremrangebyrank(self, key: bytes, low: bytes, high: bytes) -> int:
        found = self.find(key, SortedSet) or {}
        ranked = sorted(found, key=lambda it: (found[it], it))
        first, last = (n if (n := int(it)) >= 0 else n + len(ranked) for it in (low, high))
        return self.zrem(key, *ranked[max(0, first) : max(0, last + 1)])

    # --- lists ----------------------------------------------------------------------------

    def rpush(self, key: bytes, *values: bytes) -> int:
        found = self._make(key, list)
        found.extend(values)
        return len(found)

    def lpush(self, key: bytes, *values: bytes) -> int:
        found = self._make(key, list)
        for it in values:
            found.insert(0, it)
        return len(found)

    def llen(self, key: bytes) -> int:
        return len(self.find(key, list) or ())

    def lpop(self, key: bytes, count: bytes = b"1") -> list[bytes] | None:
        found = self.find(key, list)
        if not found:
            return None
        taken, self.keys[key] = found[: int(count)], found[int(count) :]
        self._drop_empty(key)
        return list(taken)

    def lrange(self, key: bytes, first: bytes, last: bytes) -> list[bytes]:
        found = self.find(key, list) or []
        end = int(last) + 1
        return list(found[int(first) : end if end else None])

    def lrem(self, key: bytes, count: bytes, value: bytes) -> int:
        found = self.find(key, list) or []
        most, removed = int(count) or len(found), 0
        while value in found and removed < most:
            found.remove(value)
            removed += 1
        self._drop_empty(key)
        return removed

    def lmove(
        self, source: bytes, target: bytes, side_from: bytes = b"LEFT", side_to: bytes = b"RIGHT"
    ) -> Any:
        found = self.find(source, list)
        if not found:
            return None
        value = found.pop(0 if side_from.upper() == b"LEFT" else -1)
        self._drop_empty(source)
        (self.lpush if side_to.upper() == b"LEFT" else self.rpush)(target, value)
        return value


class Status(bytes):
    """A status reply, such as ``+OK``."""


class SortedSet(dict[bytes, float]):
    """Members with their scores."""


def _upper(options: tuple[bytes, ...]) -> list[bytes]:
    return [it.upper() for it in options]


def _integer(text: bytes) -> int:
    try:
        return int(text)
    except ValueError:
        raise RedisError("ERR value is not an integer or out of range") from None


_NAMES = """
    pttl persist delete exists type rename expire pexpire flushall get getrange mget
    set incrby hget hmget hgetall hkeys hlen hstrlen hset
    hsetnx hdel hincrby sadd srem smembers sdiffstore zadd zrem
    zremrangebyscore zremrangebyrank rpush lpush lpop llen lrange lrem lmove
"""
_COMMANDS: dict[bytes, Callable[..., Any]] = {
    it.upper().encode(): getattr(Data, it) for it in _NAMES.split()
}
_COMMANDS[b"DEL"] = _COMMANDS.pop(b"DELETE")
_COMMANDS[b"INCR"] = Data.incrby
_COMMANDS[b"TIME"] = lambda self: [b"%d" % int(self.wall_clock()), b"0"]
_COMMANDS[b"PING"] = lambda _: Status(b"PONG")
