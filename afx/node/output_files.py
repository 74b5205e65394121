"""Outputs in files: JSON lines, and RSS feeds of the last messages.

They lie below the directory that the operator allows, each session's in a folder of its own. A
line is written whole or, after a crash, cut off and written again; what is there already, by its
id, is not written once more. A feed is replaced as a whole.
"""

from __future__ import annotations

import json
import os
import re
from collections import OrderedDict
from collections.abc import Sequence
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from afx.node.output_messages import event_id

_TAIL = 256 * 1024
"""Bytes at a file's end in which ids are looked for that an earlier run has written."""
_IDS = 4_096
_ITEMS = 50
"""Messages in a feed."""
_LARGEST_FEED = 4 * 1024 * 1024
_LONGEST_TITLE = 80
_HEAD = b"<?xml version='1.0' encoding='utf-8'?>"
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 does not have."""


def path_below(root: Path, place: str) -> Path:
    """Return a file's path below a directory, whose folders are made.

    Raises OSError when a link leads out of the directory, or the file itself is a link.
    """
    path = root / place
    base = root.resolve()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
    if not path.parent.resolve().is_relative_to(base) or path.is_symlink():
        raise OSError(f"{place} leads out of the directory of outputs")
    return path


class LineFile:
    """A file of JSON lines; one thread at a time may use it."""

    def __init__(self, root: Path, place: str) -> None:
        self._root = root
        self._place = place
        self._known: OrderedDict[str, None] | None = None
        """Events that are in the file, the newest last; None until its end was read."""

    def write(self, contents: Sequence[dict[str, Any]]) -> None:
        """Append what is not there yet, and wait until it is on the disk; raises OSError."""
        path = path_below(self._root, self._place)
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        handle = os.open(path, flags, 0o640)
        try:
            known = self._read(handle)
            fresh = {key: it for it in contents if (key := _key(it)) not in known}
            if not fresh:
                return
            text = "".join(json.dumps(it, ensure_ascii=False) + "\n" for it in fresh.values())
            # What a write has begun and not ended is cut off by the next one.
            self._known = None
            _write_all(handle, text.encode("utf-8", "replace"))
            os.fsync(handle)
            known.update(dict.fromkeys(fresh))
            while len(known) > _IDS:
                known.popitem(last=False)
            self._known = known
        finally:
            os.close(handle)

    def _read(self, handle: int) -> OrderedDict[str, None]:
        size = os.fstat(handle).st_size
        if self._known is not None and size:
            return self._known
        start = max(0, size - _TAIL)
        data = os.pread(handle, size - start, start)
        end = data.rfind(b"\n") + 1
        if not end and start:
            # No line of ours is that long: nothing of another one's file is cut off.
            raise OSError(f"{self._place} is no file of JSON lines; move it away")
        if end < len(data):
            os.ftruncate(handle, start + end)
        found: OrderedDict[str, None] = OrderedDict()
        for line in data[:end].splitlines():
            try:
                found[_key(json.loads(line))] = None
            except (ValueError, LookupError, TypeError, RecursionError):
                continue  # the first line may be a part of one
        return found


def _key(content: dict[str, Any]) -> str:
    """Return what tells an event from others."""
    return f"{content['event']}:{event_id(content)}"


def _write_all(handle: int, data: bytes) -> None:
    while data:
        data = data[os.write(handle, data) :]


class Feed:
    """An RSS feed of the last messages; one thread at a time may use it."""

    def __init__(self, root: Path, place: str) -> None:
        self._root = root
        self._place = place

    def write(self, contents: Sequence[dict[str, Any]], dates: Sequence[Any]) -> None:
        """Put messages in, the newest first, or change or take out what is there.

        ``dates`` are those of the messages. Raises OSError.
        """
        path = path_below(self._root, self._place)
        items = _items(path)
        for content, date in zip(contents, dates, strict=True):
            number, event = content["id"], content["event"]
            if event == "delete":
                items.pop(number, None)
            elif event == "message" or number in items:
                items[number] = _item(content, date)
        while len(items) > _ITEMS:
            items.popitem(last=False)
        _replace(path, _feed(Path(self._place).stem, list(items.values())[::-1]))


def _items(path: Path) -> OrderedDict[str, ElementTree.Element]:
    """Return the items of a stored feed, the oldest first; none of one that is malformed."""
    try:
        if path.stat().st_size > _LARGEST_FEED:
            return OrderedDict()
        data = path.read_bytes()
    except FileNotFoundError:
        return OrderedDict()
    if not data.startswith(_HEAD) or b"<!" in data:  # ours has no document type, no entities
        return OrderedDict()
    try:
        found = ElementTree.fromstring(data).findall("./channel/item")  # noqa: S314
    except ElementTree.ParseError:
        return OrderedDict()
    return OrderedDict((it.findtext("guid") or "", it) for it in reversed(found))


def _item(content: dict[str, Any], date: Any) -> ElementTree.Element:
    item = ElementTree.Element("item")
    text = _FORBIDDEN.sub("", content["text"])
    title = text.partition("\n")[0].strip() or content["media"]
    if len(title) > _LONGEST_TITLE:
        title = title[: _LONGEST_TITLE - 1] + "…"
    ElementTree.SubElement(item, "title").text = title
    if content["link"]:
        ElementTree.SubElement(item, "link").text = content["link"]
    ElementTree.SubElement(item, "description").text = text
    if date is not None:
        ElementTree.SubElement(item, "pubDate").text = format_datetime(date)
    ElementTree.SubElement(item, "guid", isPermaLink="false").text = content["id"]
    return item


def _feed(title: str, items: Sequence[ElementTree.Element]) -> bytes:
    """Return a feed. Source: rssboard.org/rss-specification."""
    root = ElementTree.Element("rss", version="2.0")
    channel = ElementTree.SubElement(root, "channel")
    ElementTree.SubElement(channel, "title").text = title
    ElementTree.SubElement(channel, "link").text = "https://t.me/"
    ElementTree.SubElement(channel, "description").text = f"The last messages of {title}"
    channel.extend(items)
    return bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True))


def _replace(path: Path, data: bytes) -> None:
    fresh = path.with_name(f".{path.name}.new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    handle = os.open(fresh, flags, 0o644)
    try:
        _write_all(handle, data)
        os.fsync(handle)
    finally:
        os.close(handle)
    fresh.replace(path)
