"""Streams and scripts of a simulated Redis: the real Lua, run by Lua 5.1 as Redis runs it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any, ClassVar

from lupa.lua51 import LuaError, LuaRuntime, lua_type
from simulation.redis_data import Data, RedisError, Status, Stream


def xadd(data: Data, key: bytes, *arguments: bytes) -> bytes:
    """XADD with MAXLEN and an id that the server makes."""
    rest = list(arguments)
    while rest[0] != b"*":
        rest.pop(0)
    stream = data._make(key, Stream)
    now = (int(data.wall_clock() * 1000), 0)
    last = stream.last
    stream.last = now if now > last else (last[0], last[1] + 1)
    stream.entries.append((stream.last, rest[1:]))
    return _shown(stream.last)


def read_after(data: Data, key: bytes, after: bytes, count: int) -> list[Any] | None:
    """XREAD of one stream; None when nothing follows."""
    stream = data.find(key, Stream)
    beyond = _parsed(after)
    found = [it for it in stream.entries if it[0] > beyond][:count] if stream else []
    return [[key, [[_shown(it), list(fields)] for it, fields in found]]] if found else None


def xtrim(data: Data, key: bytes, *arguments: bytes) -> int:
    """XTRIM MINID."""
    stream = data.find(key, Stream)
    if stream is None:
        return 0
    before, least = len(stream.entries), _parsed(arguments[-1])
    stream.entries = [it for it in stream.entries if it[0] >= least]
    return before - len(stream.entries)


def xinfo(data: Data, _what: bytes, key: bytes) -> list[Any]:
    """XINFO STREAM, what the real code reads of it."""
    stream = data.find(key, Stream)
    if stream is None:
        raise RedisError("ERR no such key")
    first, last = (
        ([_shown(it[0]), list(it[1])] for it in (stream.entries[0], stream.entries[-1]))
        if stream.entries
        else (None, None)
    )
    found = {b"length": len(stream.entries), b"last-generated-id": _shown(stream.last)}
    found |= {b"first-entry": first, b"last-entry": last}
    return [part for pair in found.items() for part in pair]


class Scripts:
    """The scripts that a server knows, and the Lua in which they run."""

    _functions: ClassVar[dict[bytes, Any]] = {}
    """Script → its compiled function; they have no state."""
    _lua = LuaRuntime(encoding=None, unpack_returned_tuples=True)
    _call: ClassVar[list[Callable[..., Any]]] = []
    """What ``redis.call`` does during the present script."""

    def __init__(self) -> None:
        self._known: dict[bytes, bytes] = {}

    def load(self, text: bytes) -> bytes:
        """SCRIPT LOAD."""
        digest = hashlib.sha1(text).hexdigest().encode()
        self._known[digest] = text
        return digest

    def run(self, call: Callable[..., Any], digest: bytes, count: bytes, *rest: bytes) -> Any:
        """EVALSHA: ``call`` runs one command."""
        text = self._known.get(digest)
        if text is None:
            raise RedisError("NOSCRIPT No matching script. Please use EVAL.")
        function = self._functions.get(text)
        if function is None:
            body = b"return function(KEYS, ARGV) " + text + b"\nend"
            function = self._functions[text] = self._lua.execute(body)
        keys = int(count)
        self._call.append(call)
        try:
            result = function(_table(rest[:keys]), _table(rest[keys:]))
        except LuaError as error:
            raise RedisError(f"ERR {error}") from None
        finally:
            self._call.pop()
        return _from_lua(result)


def _redis_call(name: bytes, *arguments: Any) -> Any:
    values = [b"%.17g" % it if isinstance(it, float) else it for it in arguments]
    values = [b"%d" % it if isinstance(it, int) else it for it in values]
    return _to_lua(Scripts._call[-1](name, *values))


def _redis_pcall(name: bytes, *arguments: Any) -> Any:
    try:
        return _redis_call(name, *arguments)
    except RedisError as error:
        return Scripts._lua.table_from({b"err": str(error).encode()})


def _table(values: Any) -> Any:
    return Scripts._lua.table_from(values)


def _to_lua(value: Any) -> Any:
    if value is None:
        return False
    if isinstance(value, Status):
        return Scripts._lua.table_from({b"ok": bytes(value)})
    if isinstance(value, list):
        return _table([_to_lua(it) for it in value])
    return value


def _from_lua(value: Any) -> Any:
    if value is None or value is False:
        return None
    if value is True:
        return 1
    if isinstance(value, float):
        return int(value)
    if lua_type(value) == "table":
        if value[b"err"] is not None:
            raise RedisError(value[b"err"].decode())
        if value[b"ok"] is not None:
            return Status(value[b"ok"])
        found = []
        while (item := value[len(found) + 1]) is not None:
            found.append(_from_lua(item))
        return found
    return value


def _decode_json(text: bytes) -> Any:
    return _json_to_lua(json.loads(text))


def _json_to_lua(value: Any) -> Any:
    if isinstance(value, list):
        return _table([_json_to_lua(it) for it in value])
    if isinstance(value, dict):
        return Scripts._lua.table_from({k.encode(): _json_to_lua(v) for k, v in value.items()})
    return value.encode() if isinstance(value, str) else value


def _shown(entry: tuple[int, int]) -> bytes:
    return b"%d-%d" % entry


def _parsed(text: bytes) -> tuple[int, int]:
    milliseconds, _, sequence = text.partition(b"-")
    return int(milliseconds), int(sequence or b"0")


_globals = Scripts._lua.globals()
_globals[b"redis"] = Scripts._lua.table_from({b"call": _redis_call, b"pcall": _redis_pcall})
_globals[b"cjson"] = Scripts._lua.table_from({b"decode": _decode_json})
