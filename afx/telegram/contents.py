"""What a message is the same as: its text and its file, whichever chat it is posted in."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

from telethon.tl import types

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


def _file(media: Any) -> str | None:
    """Return which file it is; "" for none, None for what is neither text nor a file."""
    if media is None or isinstance(media, types.MessageMediaWebPage | types.MessageMediaEmpty):
        return ""
    if isinstance(media, types.MessageMediaPhoto) and media.photo:
        return f"photo {media.photo.id}"
    if isinstance(media, types.MessageMediaDocument) and media.document:
        return f"document {media.document.id}"
    return None
