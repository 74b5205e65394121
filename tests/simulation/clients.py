"""The real redis-py clients, with the network of the simulation instead of sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import redis
import redis.asyncio
from redis._parsers.base import BaseParser
from redis.client import NEVER_DECODE, Pipeline
from simulation.hub import Hub, Process
from simulation.network import LOST, Link, Network
from simulation.redis_data import RedisError


class Wire:
    """What a client needs to send commands and to read answers."""

    def __init__(self, hub: Hub, network: Network, *, timeout: float, decode: bool) -> None:
        self.hub = hub
        self.network = network
        self.timeout = timeout
        self.decode = decode
        self.link = Link()

    def encode(self, arguments: Sequence[Any]) -> tuple[bytes, ...]:
        """Return a command as the server reads it."""
        return tuple(
            it if isinstance(it, bytes) else (it if isinstance(it, str) else repr(it)).encode()
            for it in arguments
        )

    def results(self, answers: Any) -> list[Any]:
        """Return what the server answered; raises ConnectionError for a lost connection."""
        if answers is None:
            self.link.disconnect()
            raise redis.TimeoutError("Timeout reading from socket")
        if answers is LOST:
            self.link.disconnect()
            raise redis.ConnectionError("Connection closed by server.")
        return list(answers)

    def read(self, callbacks: Any, name: str, result: Any, options: dict[str, Any]) -> Any:
        """Return one result as the client does; an error of the server as an exception."""
        if isinstance(result, RedisError):
            return BaseParser.parse_error(str(result))
        if NEVER_DECODE in options:
            options.pop(NEVER_DECODE)
        elif self.decode:
            result = _decoded(result)
        options.pop("keys", None)
        callback = callbacks.get(name)
        return callback(result, **options) if callback else result


def _decoded(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode()
    return [_decoded(it) for it in value] if isinstance(value, list) else value


class _Pool:
    """Stands in for a connection pool: it has one connection."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.connection_kwargs: dict[str, Any] = {"decode_responses": wire.decode, "protocol": 2}

    def disconnect(self, **_: Any) -> None:
        self._wire.link.disconnect()

    def get_encoder(self) -> Any:
        return redis.ConnectionPool(decode_responses=self._wire.decode).get_encoder()


class _AsyncPool(_Pool):
    async def disconnect(self, **_: Any) -> None:  # type: ignore[override]
        self._wire.link.disconnect()


class SimRedis(redis.Redis):
    """A blocking client of a thread."""

    def __init__(self, wire: Wire) -> None:
        super().__init__(protocol=2, decode_responses=wire.decode)
        self.connection_pool = _Pool(wire)
        self._wire = wire

    def execute_command(self, *args: Any, **options: Any) -> Any:
        answer = _call(self._wire, [(args, options)], self.response_callbacks)[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def pipeline(self, transaction: bool = True, shard_hint: Any = None) -> Any:
        return _SimPipeline(self, transaction)

    def close(self) -> None:
        self._wire.link.disconnect()

    def __del__(self) -> None:
        """Nothing is open."""


class _SimPipeline(Pipeline):
    def __init__(self, client: SimRedis, transaction: bool) -> None:
        super().__init__(client.connection_pool, client.response_callbacks, transaction, None)
        self._client = client

    def immediate_execute_command(self, *args: Any, **options: Any) -> Any:
        return self._client.execute_command(*args, **options)

    def execute(self, raise_on_error: bool = True) -> list[Any]:
        try:
            if not self.command_stack:
                return []
            if self.scripts:
                self.load_scripts()
            answers = _call(self._client._wire, self.command_stack, self.response_callbacks)
            return _checked(answers, raise_on_error)
        finally:
            self.reset()

    def __del__(self) -> None:
        """Nothing is open."""


def _call(wire: Wire, commands: Sequence[Any], callbacks: Any) -> list[Any]:
    process = wire.hub.check_alive()
    encoded = [wire.encode(args) for args, _ in commands]
    answered = wire.network.send(process, wire.link, encoded)
    answered.wait(wire.timeout)
    return _read_all(wire, commands, callbacks, answered.value)


def _read_all(wire: Wire, commands: Sequence[Any], callbacks: Any, value: Any) -> list[Any]:
    results = wire.results(value)
    return [
        wire.read(callbacks, args[0], result, dict(options))
        for (args, options), result in zip(commands, results, strict=True)
    ]


def _checked(answers: list[Any], raise_on_error: bool) -> list[Any]:
    if raise_on_error:
        for it in answers:
            if isinstance(it, Exception):
                raise it
    return answers


# --- for a host's loop ----------------------------------------------------------------------


class AsyncSimRedis(redis.asyncio.Redis):
    """A client of a host's loop."""

    def __init__(self, wire: Wire, process: Process) -> None:
        super().__init__(protocol=2, decode_responses=wire.decode)
        self.connection_pool = _AsyncPool(wire)
        self._wire = wire
        self._process = process

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        answers = await _call_async(
            self._wire, self._process, [(args, options)], self.response_callbacks
        )
        if isinstance(answers[0], Exception):
            raise answers[0]
        return answers[0]

    def pipeline(self, transaction: bool = True, shard_hint: Any = None) -> Any:
        return _AsyncSimPipeline(self, transaction)

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        self._wire.link.disconnect()

    def __del__(self, *_: Any) -> None:
        """Nothing is open."""


class _AsyncSimPipeline(redis.asyncio.client.Pipeline):
    def __init__(self, client: AsyncSimRedis, transaction: bool) -> None:
        super().__init__(client.connection_pool, client.response_callbacks, transaction, None)
        self._client = client

    async def immediate_execute_command(self, *args: Any, **options: Any) -> Any:
        return await self._client.execute_command(*args, **options)

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        try:
            if not self.command_stack:
                return []
            if self.scripts:
                await self.load_scripts()
            client = self._client
            answers = await _call_async(
                client._wire, client._process, self.command_stack, self.response_callbacks
            )
            return _checked(answers, raise_on_error)
        finally:
            self.command_stack = []
            self.scripts = set()

    def __del__(self, *_: Any) -> None:
        """Nothing is open."""


async def _call_async(
    wire: Wire, process: Process, commands: Sequence[Any], callbacks: Any
) -> list[Any]:
    encoded = [wire.encode(args) for args, _ in commands]
    answered = wire.network.send(process, wire.link, encoded)
    ready = asyncio.get_running_loop().create_future()
    answered.on_set(lambda: ready.done() or ready.set_result(None))
    try:
        async with asyncio.timeout(wire.timeout):
            await ready
    except TimeoutError:
        return _read_all(wire, commands, callbacks, None)
    except asyncio.CancelledError:
        wire.link.disconnect()
        raise
    return _read_all(wire, commands, callbacks, answered.value)
