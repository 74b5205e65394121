"""One simulated Redis server: its data, its run id, and what is wrong with it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

from simulation.hub import Hub
from simulation.redis_data import Data, RedisError, Status
from simulation.redis_streams import Scripts, read_after, xadd, xinfo, xtrim

Answer = Callable[[list[Any]], None]
_WRITES = frozenset(
    b"DEL RENAME EXPIRE PEXPIRE PERSIST SET INCR INCRBY HSET HSETNX HDEL HINCRBY SADD SREM "
    b"SDIFFSTORE ZADD ZREM ZREMRANGEBYSCORE RPUSH LPUSH LREM LMOVE BLMOVE XADD XTRIM "
    b"EVALSHA".split()
)


class Server:
    """A server; ``submit`` runs commands at once, or later when they block."""

    _ids = itertools.count(1)

    def __init__(self, hub: Hub, *, clock_offset: float = 1e6) -> None:
        self._hub = hub
        self.clock_offset = clock_offset
        self.data = Data(lambda: hub.now + self.clock_offset)
        self.scripts = Scripts()
        self.run_id = ""
        self.running = True
        self.stalled_until = 0.0
        self.error = ""
        """What every command that writes is answered with, such as OOM."""
        self.error_for_all = ""
        """The same for every command, such as LOADING."""
        self.refusal = ""
        """As ``error``, for as long as this server has no replicas, or is one itself."""
        self.on_command: Callable[[bytes, tuple[bytes, ...], Any], None] = lambda *_: None
        self._blocked: list[_Blocked] = []
        self.restart()

    def restart(self) -> None:
        """Begin as another process, with the data of the last one."""
        self.run_id = f"a{next(self._ids):039x}"
        self.scripts = Scripts()
        self._blocked = []

    def submit(self, commands: Sequence[tuple[bytes, ...]], answer: Answer) -> None:
        """Run commands one after another, and answer all."""
        results: list[Any] = []
        for index, command in enumerate(commands):
            result = self._result(command)
            if result is None and command[0] in (b"XREAD", b"BLMOVE"):
                assert index == len(commands) - 1, "only the last command may block"
                self._block(command, answer)
                return
            results.append(result)
        answer(results)
        if self.data.written:
            self._serve_blocked()

    def _result(self, command: tuple[bytes, ...]) -> Any:
        name = command[0]
        if self.error_for_all:
            return RedisError(self.error_for_all)
        for error in filter(None, (self.refusal, self.error)):
            if name in _WRITES and not self._may_pass(command, error):
                return RedisError(error)
        try:
            result = self._run(*command)
        except RedisError as error:
            return error
        self.on_command(name, command, result)
        return result

    def _may_pass(self, command: tuple[bytes, ...], error: str) -> bool:
        """Return whether a script writes nothing, or begins with a write that needs no memory."""
        text = self.scripts._known.get(command[1], b"") if command[0] == b"EVALSHA" else b""
        needs_no_memory = b"redis.call('PERSIST'" in text and error.startswith("OOM")
        return b"Reads what a node needs" in text or needs_no_memory

    def _run(self, name: bytes, *arguments: bytes) -> Any:
        match name:
            case b"EVALSHA":
                return self.scripts.run(self._run, *arguments)
            case b"SCRIPT LOAD":
                return self.scripts.load(arguments[0])
            case b"SCRIPT EXISTS":
                return [int(it in self.scripts._known) for it in arguments]
            case b"INFO":
                start = b"role:master\r\nconnected_slaves:1\r\nredis_version:7.4.0\r\nrun_id:"
                return start + self.run_id.encode()
            case b"CONFIG GET":
                return [b"min-replicas-to-write", b"1", b"min-replicas-max-lag", b"2"]
            case b"XADD":
                return xadd(self.data, *arguments)
            case b"XTRIM":
                return xtrim(self.data, *arguments)
            case b"XINFO STREAM":
                return xinfo(self.data, b"STREAM", *arguments)
            case b"XREAD":
                key, after = arguments[-2:]
                return read_after(self.data, key, after, _option(arguments, b"COUNT", 10**9))
            case b"BLMOVE":
                return self.data.lmove(*arguments[:2], *arguments[2:4])
            case b"MULTI" | b"EXEC":
                return Status(b"OK")
        return self.data.call(name, *arguments)

    # --- commands that block ------------------------------------------------------------

    def _block(self, command: tuple[bytes, ...], answer: Answer) -> None:
        if command[0] == b"XREAD":
            seconds = _option(command, b"BLOCK", 0) / 1000
        else:
            seconds = float(command[-1])
        blocked = _Blocked(command, answer)
        self._blocked.append(blocked)
        self._hub.after(seconds or 1e9, self._time_out, blocked)

    def _time_out(self, blocked: _Blocked) -> None:
        if blocked in self._blocked:
            self._blocked.remove(blocked)
            blocked.answer([None])

    def _serve_blocked(self) -> None:
        written, self.data.written = self.data.written, set()
        for it in list(self._blocked):
            if it.key in written:
                result = self._result(it.command)
                if result is not None:
                    self._blocked.remove(it)
                    it.answer([result])


class _Blocked:
    def __init__(self, command: tuple[bytes, ...], answer: Answer) -> None:
        self.command = command
        self.answer = answer
        self.key = command[-2] if command[0] == b"XREAD" else command[1]


def _option(arguments: tuple[bytes, ...], name: bytes, default: int) -> int:
    return int(arguments[arguments.index(name) + 1]) if name in arguments else default
