"""What rules may ask of Telegram's messages."""

from __future__ import annotations

from typing import Any

from telethon import utils
from telethon.tl import types

from afx.forwarding.buttons import Rows
from afx.forwarding.facts import Facts, lazy
from afx.forwarding.pipeline import Incoming
from afx.forwarding.replies import is_topic_only

_MEDIA: dict[type, str] = {
    types.MessageMediaPhoto: "photo",
    types.MessageMediaContact: "contact",
    types.MessageMediaGeo: "location",
    types.MessageMediaGeoLive: "location",
    types.MessageMediaVenue: "venue",
    types.MessageMediaPoll: "poll",
    types.MessageMediaDice: "dice",
    types.MessageMediaGame: "game",
    types.MessageMediaInvoice: "invoice",
    types.MessageMediaWebPage: "text",
    types.MessageMediaEmpty: "text",
    type(None): "text",
}


class TelegramFacts(Facts):
    """A message of Telegram as rules see it."""

    def __init__(self, message: Incoming) -> None:
        self.text = message.text
        self.entities = message.entities
        self.chat = message.chat
        self.id = message.id
        self._raw = message.raw

    # What a plain text knows at once is computed here, each when it is asked for.

    @lazy
    def sender(self) -> int:
        """The author; of a channel's post the channel, in a private chat the other one."""
        author = getattr(self._raw, "from_id", None)
        if isinstance(author, int):  # UpdateShortChatMessage
            return author
        return int(utils.get_peer_id(author)) if author is not None else self.chat

    @lazy
    def sender_kind(self) -> str:
        """Whether the author is a user, or a channel or group."""
        return "user" if self.sender > 0 else "channel"

    @lazy
    def media(self) -> str:
        """What it has besides its text."""
        return media_kind(self._raw)

    @lazy
    def album(self) -> int:
        """The album that it belongs to."""
        return int(getattr(self._raw, "grouped_id", None) or 0)

    @lazy
    def size(self) -> int:
        """Bytes of its file; of a photo those of its largest form."""
        media = getattr(self._raw, "media", None)
        if isinstance(media, types.MessageMediaDocument):
            return int(getattr(media.document, "size", 0))
        if isinstance(media, types.MessageMediaPhoto):
            sizes = getattr(media.photo, "sizes", ())
            return max(map(_photo_bytes, sizes), default=0)
        return 0

    @lazy
    def forwarded(self) -> bool:
        """Whether it was forwarded."""
        return getattr(self._raw, "fwd_from", None) is not None

    @lazy
    def reply(self) -> bool:
        """Whether it replies to a message; what is only in a topic of a forum does not."""
        header = getattr(self._raw, "reply_to", None)
        return header is not None and not is_topic_only(header)

    @lazy
    def edited(self) -> bool:
        """Whether its author has changed it; a reaction is no change."""
        raw = self._raw
        return getattr(raw, "edit_date", None) is not None and not getattr(raw, "edit_hide", False)

    @lazy
    def buttons(self) -> Rows:
        """The rows of its inline buttons with links."""
        return rows_of(self._raw)

    def entity(self, kind: str, offset: int, length: int, url: str = "") -> Any:
        """Return an entity, of a kind such as ``Bold``; only a ``TextUrl`` has an address."""
        if kind == "TextUrl":
            return types.MessageEntityTextUrl(offset, length, url)
        return getattr(types, f"MessageEntity{kind}")(offset, length)

    @lazy
    def via_bot(self) -> bool:
        """Whether an inline bot has made it."""
        return bool(getattr(self._raw, "via_bot_id", None))

    @lazy
    def date(self) -> int:
        """When it was sent, in Unix seconds."""
        date = getattr(self._raw, "date", None)
        return int(date.timestamp()) if date is not None else 0


def rows_of(message: Any) -> Rows:
    """Return the buttons with links of one of Telegram's messages."""
    markup = getattr(message, "reply_markup", None)
    if not isinstance(markup, types.ReplyInlineMarkup):
        return ()
    rows = (
        tuple(
            (it.text, it.type.url)
            for it in row.buttons
            if isinstance(it.type, types.InlineButtonTypeUrl | types.InlineButtonTypeUrlAuth)
        )
        for row in markup.rows
    )
    return tuple(it for it in rows if it)


def media_kind(message: Any) -> str:
    """Return what one of Telegram's messages has besides its text."""
    media = getattr(message, "media", None)
    if isinstance(media, types.MessageMediaDocument):
        # One that destroyed itself has no file any more.
        return document_kind(media.document) if media.document else "other"
    if isinstance(media, types.MessageMediaPhoto) and not media.photo:
        return "other"
    return _MEDIA.get(type(media), "other")


def document_kind(document: Any) -> str:
    """Return what a document is by its attributes (core.telegram.org/type/DocumentAttribute)."""
    kind = "document"
    for it in getattr(document, "attributes", ()):
        if isinstance(it, types.DocumentAttributeSticker):
            return "sticker"
        if isinstance(it, types.DocumentAttributeAnimated):
            return "animation"
        if isinstance(it, types.DocumentAttributeAudio):
            kind = "voice" if it.voice else "audio"
        elif isinstance(it, types.DocumentAttributeVideo):
            kind = "round" if it.round_message else "video"
    return kind


def _photo_bytes(size: Any) -> int:
    if isinstance(size, types.PhotoSize):
        return int(size.size)
    if isinstance(size, types.PhotoSizeProgressive):
        return max(size.sizes, default=0)
    return 0
