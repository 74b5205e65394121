"""Requests that cannot be made, or cannot be encoded: nothing of them reaches Telegram.

What one message makes of a request does not change when it is made again. So such an error is
that message's, and those beside it are sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import structlog

from afx.telegram.outgoing import check_size

_T = TypeVar("_T")
_NOT_OF_CONTENT = (OSError, EOFError, MemoryError)
"""The connection, or the machine: the same request may be made later."""

log = structlog.get_logger()


class NotBuiltError(Exception):
    """Nothing of some requests was sent, since one of them cannot be made or encoded."""


def build(make: Callable[[_T], Any], them: Iterable[_T]) -> list[Any]:
    """Return the request of each; raises NotBuiltError."""
    try:
        return [make(it) for it in them]
    except _NOT_OF_CONTENT:
        raise
    except Exception as error:
        raise NotBuiltError(why(error)) from error


def hand_over(send: Callable[[], Any]) -> Any:
    """Hand requests to the connection, which encodes all of them first; raises NotBuiltError."""
    try:
        return send()
    except _NOT_OF_CONTENT:
        raise
    except Exception as error:
        raise NotBuiltError(why(error)) from error


def unbuilt(make: Callable[[_T], Any], it: _T) -> str:
    """Return why a request cannot be made; "" for one that can be."""
    try:
        request = make(it)
        check_size(type(request).__name__, bytes(request))
    except _NOT_OF_CONTENT:
        raise
    except Exception as error:
        log.warning("request_not_built", error=type(error).__name__)
        return why(error)
    return ""


def why(error: Exception) -> str:
    """Return what is said of an error; its own text may contain the message's."""
    return f"no request can be made of it: {type(error).__name__}"
