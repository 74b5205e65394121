"""What a message is the same as: its text and its file, whichever chat it is posted in."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

from telethon.tl import types

from afx.forwarding.likeness import pairs_of
from afx.forwarding.pipeline import Incoming

DIGEST_BYTES = 6


def content_digest(message: Incoming) -> bytes | None:
    """Return a hash of a message's text, of the links behind it, and of its file.

    White space does not count. None for what has neither text nor file, such as a poll: it is
    the same as nothing.
    """
    file = _file(getattr(message.raw, "media", None))
    text = " ".join(message.text.split())
    if file is None or not (file or text):
        return None
    links = [it.url for it in message.entities if isinstance(it, types.MessageEntityTextUrl)]
    content = "\0".join((file, text, *links))
    return blake2b(content.encode("utf-8", "surrogatepass"), digest_size=DIGEST_BYTES).digest()


def words_of(message: Incoming) -> frozenset[str]:
    """Return by what a text is compared with another one: pairs of words, and links behind it."""
    links = [it.url for it in message.entities if isinstance(it, types.MessageEntityTextUrl)]
    pairs = pairs_of(message.text)
    return pairs_of(message.text, links) if pairs else pairs


def file_number(message: Incoming) -> int:
    """Return a number of the file to which a text is the caption; 0: of none."""
    file = _file(getattr(message.raw, "media", None))
    if not file:
        return 0
    return int.from_bytes(blake2b(file.encode(), digest_size=4).digest()) or 1


def _file(media: Any) -> str | None:
    """Return which file it is; "" for none, None for what is neither text nor a file."""
    if media is None or isinstance(media, types.MessageMediaWebPage | types.MessageMediaEmpty):
        return ""
    if isinstance(media, types.MessageMediaPhoto) and media.photo:
        return f"photo {media.photo.id}"
    if isinstance(media, types.MessageMediaDocument) and media.document:
        return f"document {media.document.id}"
    return None
