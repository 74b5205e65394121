"""One message of each kind, and what a copy of it is to keep."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from support.sandbox import SandboxHarness
from telethon.tl import types

from afx.sandbox.telegram.boxes import Media
from afx.sandbox.telegram.methods.input_media import Fixed
from afx.sandbox.telegram.polls import Poll

_POINT = types.GeoPoint(13.4, 52.5, 0)
_BOLD = types.MessageEntityBold(0, 4)


@dataclass(frozen=True)
class Kind:
    """A kind of message; ``media`` makes what it carries besides its text."""

    name: str
    media: Callable[[SandboxHarness], Media] | None = None
    text: str = ""
    fields: dict[str, Any] = field(default_factory=dict)
    answers: bool = True
    """Its copy can answer a message."""
    moved: Callable[[SandboxHarness], Media] | None = None
    """What an edit makes of its media."""

    @property
    def has_text(self) -> bool:
        """Whether transforms change it, and edits are followed."""
        return bool(self.text)


def _file(mime_type: str, *attributes: Any, **more: Any) -> Callable[[SandboxHarness], Media]:
    def make(sandbox: SandboxHarness) -> Media:
        files = sandbox.server.world.files
        spoiler = more.get("spoiler", False)
        kind = {"is_photo": True} if not mime_type else {}
        data = f"{mime_type} {attributes}".encode()
        file = files.add(data, mime_type=mime_type, attributes=attributes, **kind)
        return file.covered(spoiler)

    return make


def _fixed(media: Any) -> Callable[[SandboxHarness], Media]:
    return lambda _: Fixed(media)


def _words(text: str) -> Any:
    return types.TextWithEntities(text, [])


def _poll(**more: Any) -> Callable[[SandboxHarness], Media]:
    def make(_: SandboxHarness) -> Media:
        answers = [types.PollAnswer(_words(it), it.encode()) for it in ("tea", "coffee")]
        return Poll(_words("Tea or coffee?"), answers, **more)

    return make


def _captioned(name: str, media: Callable[[SandboxHarness], Media], **fields: Any) -> Kind:
    return Kind(name, media, f"Some {name} 👩‍👩‍👧", {"entities": [_BOLD], **fields})


def _plain(name: str, media: Any) -> Kind:
    return Kind(name, _fixed(media), answers=False)


_VIDEO = types.DocumentAttributeVideo(2.0, 640, 480)
_ROUND = types.DocumentAttributeVideo(2.0, 240, 240, round_message=True)
_STICKER = types.DocumentAttributeSticker("🙂", types.InputStickerSetEmpty())
_LINK = "Read example.org/news"
_URL = types.MessageEntityUrl(5, 16)
_PAGE = types.WebPage(5, "https://example.org/news", "example.org/news", 0, type="article")
_LIVE = types.MessageMediaGeoLive(_POINT, 900, heading=90)
_MOVED = types.MessageMediaGeoLive(types.GeoPoint(13.5, 52.6, 0), 1800, heading=180)
_GAME = types.Game(7, 8, "chess", "Chess", "Play", types.PhotoEmpty(9))

KINDS = (
    Kind("text", None, "Some text 👩‍👩‍👧", {"entities": [_BOLD]}),
    Kind("silent text", None, "Some text", {"silent": True}),
    Kind("link without a preview", None, _LINK, {"entities": [_URL], "no_preview": True}),
    Kind("link with a preview", _fixed(types.MessageMediaWebPage(_PAGE)), _LINK, {"above": True}),
    _captioned("photo", _file("")),
    _captioned("covered photo", _file("", spoiler=True), silent=True),
    _captioned("photo below its caption", _file(""), above=True),
    _captioned("video", _file("video/mp4", _VIDEO)),
    _captioned("document", _file("text/plain", types.DocumentAttributeFilename("a.txt"))),
    _captioned("audio", _file("audio/mpeg", types.DocumentAttributeAudio(3, title="Air"))),
    _captioned("voice", _file("audio/ogg", types.DocumentAttributeAudio(3, voice=True))),
    _captioned("animation", _file("video/mp4", _VIDEO, types.DocumentAttributeAnimated())),
    Kind("round video", _file("video/mp4", _ROUND)),
    Kind("sticker", _file("image/webp", _STICKER)),
    _plain("contact", types.MessageMediaContact("4930", "Ada", "Lovelace", "", 0)),
    _plain("location", types.MessageMediaGeo(_POINT)),
    Kind("live location", _fixed(_LIVE), moved=_fixed(_MOVED)),
    _plain("venue", types.MessageMediaVenue(_POINT, "Café", "Street 1", "", "", "")),
    Kind("poll", _poll(), answers=False),
    Kind("quiz", _poll(quiz=True, correct=frozenset({b"tea"}), solution="tea"), answers=False),
    _plain("dice", types.MessageMediaDice(6, "🎲")),
    _plain("game", types.MessageMediaGame(_GAME)),
    _plain("invoice", types.MessageMediaInvoice("Tea", "A cup", "EUR", 300, "tea")),
)
