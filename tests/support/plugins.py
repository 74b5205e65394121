"""Plug-ins for tests."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from afx.plugins import Drop, Message

Settings = Mapping[str, str]


async def upper(message: Message, _: Settings) -> Message:
    return message.with_text(message.text.upper())


async def no_b(message: Message, _: Settings) -> Drop | None:
    return Drop() if "b" in message.text else None


async def fails(message: Message, _: Settings) -> Message:
    if "bad" in message.text:
        raise OSError("no service")
    return message.with_text(f"{message.text}!")


async def waits(_message: Message, _: Settings) -> None:
    await asyncio.sleep(3_600)


async def wrong(_message: Message, _: Settings) -> Any:
    return "a text"


def no_async(_message: Message, _: Settings) -> None:
    return None


HOOKS: dict[str, Any] = {it.__name__: it for it in (upper, no_b, fails, waits, wrong, no_async)}
