"""What a client gives to be sent: files, polls, contacts, places and dice.

Source: core.telegram.org/type/InputMedia and the page of each constructor.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

from telethon.tl import types

from afx.sandbox.errors import RpcError
from afx.sandbox.telegram.boxes import Media
from afx.sandbox.telegram.methods.call import Call
from afx.sandbox.telegram.polls import poll_of
from afx.sandbox.telegram.uploads import Contents

_DICE = {"🎲": 6, "🎯": 6, "🎳": 6, "🏀": 5, "⚽": 5, "🎰": 64}
"""Emoji → its greatest value (core.telegram.org/api/dice)."""
_LIVE_SECONDS = range(60, 86_401)
_FOR_EVER = 0x7FFFFFFF


@dataclass(slots=True, frozen=True, eq=False)
class Fixed:
    """Media that never change: their TL form is all there is to them."""

    media: Any

    @property
    def key(self) -> Hashable:
        """Their TL form."""
        return bytes(self.media)

    def view(self) -> Any:
        """Return them as TL."""
        return self.media


def media_of(call: Call, media: Any) -> Media:
    """Return the media that an InputMedia names; a file that was uploaded is stored.

    Raises RpcError as messages.sendMedia is refused.
    """
    make = _KINDS.get(type(media))
    if make is None:
        raise RpcError(400, "MEDIA_INVALID")
    return make(call, media)


def _new_photo(call: Call, media: Any) -> Media:
    file = call.world.files.add(_uploaded(call, media.file), is_photo=True)
    return file.covered(media.spoiler)


def _new_document(call: Call, media: Any) -> Media:
    """A file of any kind; one with the attribute of a sticker is a sticker (api/stickers).

    A video without sound becomes an animation unless its sender says that it is a video
    (constructor/inputMediaUploadedDocument, nosound_video); those here have no sound.
    """
    attributes = list(media.attributes)
    kinds = {type(it) for it in attributes}
    if (
        media.mime_type == "video/mp4"
        and types.DocumentAttributeVideo in kinds
        and not (media.nosound_video or media.force_file)
        and types.DocumentAttributeAnimated not in kinds
    ):
        attributes.append(types.DocumentAttributeAnimated())
    data = _uploaded(call, media.file)
    thumb = _uploaded(call, media.thumb) if media.thumb else b""
    file = call.world.files.add(
        data,
        mime_type=media.mime_type,
        attributes=attributes,
        thumb=thumb if isinstance(thumb, bytes) else b"",
    )
    return file.covered(media.spoiler)


def _uploaded(call: Call, file: Any) -> Contents:
    return call.world.files.uploads.assemble(call.me.id, file, call.me.most_parts)


def _stored(call: Call, media: Any) -> Media:
    return call.world.files.find_to_send(media.id).covered(media.spoiler)


def _contact(call: Call, media: Any) -> Media:
    """A contact; the user's id is 0 for a phone that no account has.

    Source: core.telegram.org/constructor/messageMediaContact.
    """
    account = call.world.phones.get(media.phone_number.lstrip("+"))
    number = account.id if account else 0
    names = (media.first_name, media.last_name)
    return Fixed(types.MessageMediaContact(media.phone_number, *names, media.vcard, number))


def _point(point: Any) -> Any:
    if not isinstance(point, types.InputGeoPoint):
        raise RpcError(400, "GEO_POINT_INVALID")
    if not (-90 <= point.lat <= 90 and -180 <= point.long <= 180):
        raise RpcError(400, "GEO_POINT_INVALID")
    return types.GeoPoint(point.long, point.lat, 0, accuracy_radius=point.accuracy_radius)


def _location(_call: Call, media: Any) -> Media:
    return Fixed(types.MessageMediaGeo(_point(media.geo_point)))


def _live_location(_call: Call, media: Any) -> Media:
    return live_location(media)


def live_location(media: Any) -> Media:
    """A location that may move, for so many seconds (core.telegram.org/api/live-location)."""
    period = media.period or 0
    if period not in _LIVE_SECONDS and period != _FOR_EVER:
        raise RpcError(400, "MEDIA_INVALID")
    return Fixed(
        types.MessageMediaGeoLive(
            _point(media.geo_point),
            period,
            heading=media.heading,
            proximity_notification_radius=media.proximity_notification_radius,
        )
    )


def _venue(_call: Call, media: Any) -> Media:
    texts = (media.title, media.address, media.provider, media.venue_id, media.venue_type)
    return Fixed(types.MessageMediaVenue(_point(media.geo_point), *texts))


def _dice(_call: Call, media: Any) -> Media:
    """Dice whose value the server throws (core.telegram.org/api/dice)."""
    most = _DICE.get(media.emoticon.rstrip("\ufe0f"))
    if most is None:
        raise RpcError(400, "EMOTICON_INVALID" if media.emoticon else "EMOTICON_EMPTY")
    return Fixed(types.MessageMediaDice(1 + secrets.randbelow(most), media.emoticon))


def _poll(_call: Call, media: Any) -> Media:
    return poll_of(media)


_KINDS: dict[type, Callable[[Call, Any], Media]] = {
    types.InputMediaUploadedPhoto: _new_photo,
    types.InputMediaUploadedDocument: _new_document,
    types.InputMediaPhoto: _stored,
    types.InputMediaDocument: _stored,
    types.InputMediaPoll: _poll,
    types.InputMediaContact: _contact,
    types.InputMediaGeoPoint: _location,
    types.InputMediaGeoLive: _live_location,
    types.InputMediaVenue: _venue,
    types.InputMediaDice: _dice,
}
