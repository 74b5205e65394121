"""Messages that a person gives to try a rule on: a text, or one that was saved as JSON.

Two forms are read: a line of chat.export's (id, date, author, text), which may have any of
the facts that conditions ask for; and what Telethon's ``to_json`` writes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from afx.errors import UsageError, printable
from afx.forwarding.facts import MEDIA, Facts, Marked
from afx.forwarding.utf16 import length, units

LARGEST_BYTES = 1024 * 1024
LONGEST_TEXT = 10_000
"""Characters of a text to try; Telegram takes 4,096."""
_MOST_ENTITIES = 1_000
_FOUND = (
    ("Url", re.compile(r"(?:https?://|\bt\.me/|\bwww\.)[^\s<>\"']*[^\s<>\"'.,;:!?)\]]", re.I)),
    # Each part is bounded (RFC 5321 section 4.5.3.1): without that its time would be quadratic.
    ("Email", re.compile(r"\b[\w.+-]{1,64}@[\w-]{1,63}\.[\w.-]{0,190}\w")),
    ("Mention", re.compile(r"(?<![\w@])@[A-Za-z][A-Za-z0-9_]{3,31}\b", re.ASCII)),
    ("Hashtag", re.compile(r"(?<![\w#])#\w*[^\W\d]\w*")),
)
_NUMBERS = {"id": "id", "chat": "chat", "sender": "sender", "author": "sender", "size": "size"}
_CONTENT = ("text", "message", "media")
"""One of these a message has: each saved form names its text, even an empty one."""
_TRUTHS = {
    "forwarded": "forwarded",
    "fwd_from": "forwarded",
    "reply": "reply",
    "reply_to": "reply",
    "edited": "edited",
    "edit_date": "edited",
    "via_bot": "via_bot",
    "via_bot_id": "via_bot",
}


def typed(text: str, *, now: datetime) -> Facts:
    """Return a text as a message of now, with the entities that Telegram would find."""
    made = Facts(text, tuple(_detected(text)))
    made.date = int(now.timestamp())
    return made


def read(data: bytes) -> Facts:
    """Return a saved message; raises UsageError for what is none, or too large."""
    if len(data) > LARGEST_BYTES:
        raise UsageError("The message has more than 1 MiB; give one message alone.")
    try:
        fields = json.loads(data)
        json.dumps(fields, ensure_ascii=False).encode()  # halves of characters are no text
    except (ValueError, RecursionError) as error:
        raise UsageError("The message is not JSON; give one message as an object.") from error
    if not isinstance(fields, dict):
        raise UsageError("The message is not a JSON object; give one message alone.")
    if not any(fields.get(it) is not None for it in _CONTENT):
        raise UsageError(
            "The JSON object is no message: it has no 'text', 'message' or 'media'; give a line "
            "of chat.export's file, or what Telethon's to_json writes."
        )
    try:
        return _message(fields)
    except (AttributeError, LookupError, OSError, OverflowError, TypeError, ValueError) as error:
        raise UsageError(f"The message cannot be read: {printable(str(error))}.") from error


def _message(fields: Mapping[str, Any]) -> Facts:
    text = fields.get("text", fields.get("message", ""))
    if not isinstance(text, str):
        raise ValueError("its text is none")
    if len(text) > LONGEST_TEXT:
        raise ValueError(f"its text has more than {LONGEST_TEXT:,} characters")
    given = fields.get("entities")
    if isinstance(given, list) and len(given) > _MOST_ENTITIES:
        raise ValueError(f"it has more than {_MOST_ENTITIES:,} entities")
    entities = tuple(map(_entity, given)) if isinstance(given, list) else tuple(_detected(text))
    end = length(text)
    if any(it.offset < 0 or it.length < 0 or it.offset + it.length > end for it in entities):
        raise ValueError("an entity lies outside of its text")
    made = Facts(text, entities)
    for name, attribute in _NUMBERS.items():
        if isinstance(fields.get(name), int):
            setattr(made, attribute, fields[name])
    for name, attribute in _TRUTHS.items():
        if fields.get(name):
            setattr(made, attribute, True)
    made.chat = made.chat or _peer(fields.get("peer_id"))
    made.sender = made.sender or _peer(fields.get("from_id")) or made.chat
    made.sender_kind = "channel" if made.sender < 0 else "user"
    made.album = fields["grouped_id"] if isinstance(fields.get("grouped_id"), int) else 0
    made.media, size = _media(fields.get("media"))
    made.size = made.size or size
    made.date = _date(fields.get("date"))
    made.buttons = _buttons(fields)
    return made


def _buttons(fields: Mapping[str, Any]) -> tuple[tuple[tuple[str, str], ...], ...]:
    """Return the rows of buttons with links: ``buttons`` as [[label, address], …] in rows.

    Or Telethon's ``reply_markup``, of whichever layer.
    """
    given = fields.get("buttons")
    if given is None:
        rows = (fields.get("reply_markup") or {}).get("rows") or ()
        given = [[(it["text"], _url(it)) for it in row["buttons"]] for row in rows]
    found = (tuple((str(label), str(url)) for label, url in row if url) for row in given)
    return tuple(row for row in found if row)


def _url(button: Mapping[str, Any]) -> Any:
    kind = button.get("type")
    return button.get("url") or (kind.get("url") if isinstance(kind, dict) else "")


def _entity(fields: Any) -> Marked:
    if not isinstance(fields, dict):
        raise ValueError("an entity is no object")
    kind = str(fields.get("kind", fields.get("_", ""))).removeprefix("MessageEntity")
    return Marked(kind, int(fields["offset"]), int(fields["length"]), str(fields.get("url", "")))


def _peer(fields: Any) -> int:
    if not isinstance(fields, dict):
        return 0
    if "channel_id" in fields:
        return -1_000_000_000_000 - int(fields["channel_id"])
    return int(fields.get("user_id", 0)) or -int(fields.get("chat_id", 0))


def _media(value: Any) -> tuple[str, int]:
    """Return (kind, bytes) of a message's media."""
    if value is None or isinstance(value, str):
        kind = value or "text"
        if kind not in MEDIA:
            raise ValueError(f"there is no kind of media {kind!r}")
        return kind, 0
    name = str(value.get("_", "")).removeprefix("MessageMedia")
    if name != "Document":
        kind = {"Geo": "location", "GeoLive": "location", "WebPage": "text"}.get(name, name.lower())
        return (kind if kind in MEDIA else "other"), 0
    document = value.get("document") or {}
    kind = "document"
    for it in document.get("attributes") or ():
        attribute = str(it.get("_", "")).removeprefix("DocumentAttribute")
        if attribute in ("Sticker", "Animated"):
            return {"Sticker": "sticker", "Animated": "animation"}[attribute], 0
        if attribute == "Audio":
            kind = "voice" if it.get("voice") else "audio"
        elif attribute == "Video":
            kind = "round" if it.get("round_message") else "video"
    return kind, int(document.get("size", 0))


def _date(value: Any) -> int:
    """Return an instant in Unix seconds, which Telegram has 32 bits for; 0 without one."""
    found = 0
    if isinstance(value, int):
        found = value
    elif isinstance(value, str):
        moment = datetime.fromisoformat(value)
        found = int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
    if not 0 <= found < 2**32:
        raise ValueError("its date is out of range")
    return found


def _detected(text: str) -> Iterator[Marked]:
    offsets = units(text)
    taken = bytearray(len(text))
    for kind, pattern in _FOUND:
        for it in pattern.finditer(text):
            start, end = it.span()
            if not any(taken[start:end]):
                taken[start:end] = b"\1" * (end - start)
                yield Marked(kind, offsets[start], length(it[0]))
