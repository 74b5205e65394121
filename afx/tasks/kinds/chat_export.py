"""chat.export: writes a chat's messages to a file of the node's home, as JSON lines or CSV."""

from __future__ import annotations

import csv
import io
import json
from typing import Any, Literal

from pydantic import Field

from afx.tasks.kinds.base import Arguments, Idempotence, Kind, Result, TaskRun
from afx.tasks.kinds.chat_fields import ChatName, cursor_number


class ExportArguments(Arguments):
    """What to write."""

    chat: ChatName
    format: Literal["jsonl", "csv"] = "jsonl"
    most: int = Field(10_000, ge=1, le=1_000_000)
    """The newest so many messages, by their ids."""


class ExportResult(Result):
    """What was written."""

    messages: int
    node: str
    file: str
    """Under the node's home."""


async def run(task: TaskRun, arguments: ExportArguments) -> ExportResult:
    """Write page after page; an attempt on another node begins at the first message."""
    from afx.telegram.chats import find_chat
    from afx.telegram.history import newest_id, pages

    found = await find_chat(task.call, arguments.chat)
    name = f"task-{task.task_id}.{arguments.format}"
    goes_on = task.cursor.get("node") == task.node
    to = cursor_number(task.cursor, "to") or await newest_id(task.call, found.peer)
    first = max(0, to - arguments.most)
    beyond = max(first, cursor_number(task.cursor, "beyond")) if goes_on else first
    count = cursor_number(task.cursor, "count") if goes_on else 0
    size = cursor_number(task.cursor, "size") if goes_on else 0
    async for messages in pages(task.call, found.peer, beyond=beyond, to=to):
        size = await task.write_file(name, size, _lines(messages, arguments.format))
        count += len(messages)
        cursor = {
            "node": task.node,
            "beyond": messages[-1].id,
            "to": to,
            "count": count,
            "size": size,
        }
        await task.save((messages[-1].id - first) / max(1, to - first), cursor)
    if not count:
        await task.write_file(name, 0, b"")
    return ExportResult(messages=count, node=task.node, file=f"exports/{name}")


def _lines(messages: list[Any], form: str) -> bytes:
    rows = [(it.id, it.date.isoformat(), _author(it), it.message or "") for it in messages]
    if form == "csv":
        text = io.StringIO()
        csv.writer(text).writerows((a, b, c, _inert(d)) for a, b, c, d in rows)
        return text.getvalue().encode()
    names = ("id", "date", "author", "text")
    lines = (json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False) for row in rows)
    return ("\n".join(lines) + "\n").encode(errors="replace")


def _author(message: Any) -> int:
    author = getattr(message, "from_id", None)
    return int(getattr(author, "user_id", 0) or getattr(author, "channel_id", 0) or 0)


def _inert(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


KIND = Kind(
    name="chat.export",
    summary="Write a chat's messages to a file of the node's home, as JSON lines or CSV.",
    arguments=ExportArguments,
    result=ExportResult,
    run=run,
    idempotence=Idempotence.READS,
    priority="low",
    timeout_seconds=3600,
)
