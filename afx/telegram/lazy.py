"""What keeps an idle client small: attributes made on their first use, loggers shared by all."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

quiet = logging.getLogger("afx.telethon")
quiet.setLevel(logging.CRITICAL)


class Loggers(dict[str, logging.Logger]):
    """Telethon's loggers; it would make a class of its own for each client."""

    def __missing__(self, key: str) -> logging.Logger:
        return quiet


LOGGERS = Loggers()


class Lazy:
    """An attribute that an object has from its first use on."""

    __slots__ = ("_make", "_name")

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        value = self._make()
        setattr(instance, self._name, value)
        return value
