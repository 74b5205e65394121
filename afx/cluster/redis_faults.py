"""What an error that Redis answers means: one code for each, and a sentence for people.

Redis begins each error with a code in capitals. Source: redis.io, "RESP protocol
specification", simple errors.
"""

from __future__ import annotations

import re
from enum import StrEnum

import redis

_CODE = re.compile(r"[A-Z]+(?= |$)")
_CLASSES: tuple[tuple[type[redis.RedisError], str], ...] = (
    (redis.exceptions.OutOfMemoryError, "OOM"),
    (redis.exceptions.ReadOnlyError, "READONLY"),
    (redis.exceptions.NoPermissionError, "NOPERM"),
    (redis.exceptions.MasterDownError, "MASTERDOWN"),
    (redis.exceptions.TryAgainError, "TRYAGAIN"),
    (redis.exceptions.BusyLoadingError, "LOADING"),
    (redis.exceptions.ExecAbortError, "EXECABORT"),
    (redis.exceptions.NoScriptError, "NOSCRIPT"),
)
"""The client library removes the code of the errors for which it has a class."""
_NOT_PRIMARY = frozenset({"READONLY", "MASTERDOWN", "NOREPLICAS", "UNBLOCKED"})


class RedisFault(StrEnum):
    """What hinders the use of Redis."""

    OUT_OF_MEMORY = "out_of_memory"
    READ_ONLY = "read_only"
    NOT_PERMITTED = "not_permitted"
    CANNOT_SAVE = "cannot_save"
    BUSY = "busy"
    LOADING = "loading"
    TOO_FEW_REPLICAS = "too_few_replicas"
    WRONG_TYPE = "wrong_type"
    """A key has a value of another type: a fault of that key alone."""
    UNREACHABLE = "unreachable"
    REFUSED = "refused"
    """Any other error."""


_FAULTS = {
    "OOM": RedisFault.OUT_OF_MEMORY,
    "READONLY": RedisFault.READ_ONLY,
    "MASTERDOWN": RedisFault.READ_ONLY,
    "NOPERM": RedisFault.NOT_PERMITTED,
    "NOAUTH": RedisFault.NOT_PERMITTED,
    # "ERR ACL failure in script: …", of which the client library removes ERR.
    "ACL": RedisFault.NOT_PERMITTED,
    "MISCONF": RedisFault.CANNOT_SAVE,
    "BUSY": RedisFault.BUSY,
    "LOADING": RedisFault.LOADING,
    "NOREPLICAS": RedisFault.TOO_FEW_REPLICAS,
    "WRONGTYPE": RedisFault.WRONG_TYPE,
}

SENTENCES = {
    RedisFault.OUT_OF_MEMORY: "Redis is out of memory; raise its maxmemory",
    RedisFault.READ_ONLY: "Redis is a read-only replica; let the address lead to the primary",
    RedisFault.NOT_PERMITTED: "the Redis user lacks a permission; correct its ACL",
    RedisFault.CANNOT_SAVE: "Redis cannot save to its disk, and refuses writes; see its log",
    RedisFault.BUSY: "Redis is busy with a script; SCRIPT KILL ends it",
    RedisFault.LOADING: "Redis is loading its data",
    RedisFault.TOO_FEW_REPLICAS: "Redis has too few replicas in sync, and refuses writes",
    RedisFault.WRONG_TYPE: "a key in Redis has a value of a wrong type",
    RedisFault.UNREACHABLE: "Redis does not answer",
    RedisFault.REFUSED: "Redis refuses a command; the node's log has the error",
}
"""What a fault means, and what to do about it."""


def error_code(error: BaseException) -> str:
    """Return the code with which Redis began an error; "" for other errors."""
    for cls, code in _CLASSES:
        if isinstance(error, cls):
            return code
    if not isinstance(error, redis.ResponseError):
        return ""
    # In a transaction the library puts the number of the command before the error.
    found = _CODE.match(str(error).rpartition(" caused error: ")[2])
    return found[0] if found else ""


def fault_of(error: BaseException) -> RedisFault:
    """Return what an error means."""
    if fault := _FAULTS.get(error_code(error)):
        return fault
    if isinstance(error, redis.exceptions.AuthenticationError):
        return RedisFault.NOT_PERMITTED
    if isinstance(error, redis.ConnectionError | redis.TimeoutError | OSError):
        return RedisFault.UNREACHABLE
    return RedisFault.REFUSED


def is_not_primary(error: BaseException) -> bool:
    """Return whether a server says that it is not the primary, or may not be it any more."""
    return error_code(error) in _NOT_PRIMARY
