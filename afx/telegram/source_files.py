"""What a message carries, as it is downloaded and then sent anew.

Source: core.telegram.org/api/files and the pages of the constructors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from telethon.tl import types

from afx.forwarding.live import is_over
from afx.telegram.facts import document_kind, media_kind

_MOST_THUMB_BYTES, _MOST_THUMB_SIDE = 200 * 1024, 320
"""Of a picture that is uploaded to show a document (constructor/inputMediaUploadedDocument)."""
_VIDEOS = frozenset({"video", "round"})


class NotMadeAnewError(Exception):
    """A message's content cannot be sent by another message; its text says why."""


@dataclass(slots=True, frozen=True)
class SourceFile:
    """A photo or document that can be downloaded."""

    media: Any
    """The message's media, as TL."""

    @property
    def _file(self) -> Any:
        is_photo = isinstance(self.media, types.MessageMediaPhoto)
        return self.media.photo if is_photo else self.media.document

    @property
    def id(self) -> int:
        """Telegram's id of it, which edits of its message's text do not change."""
        return int(self._file.id)

    @property
    def data_centre(self) -> int:
        """Where it is stored."""
        return int(self._file.dc_id)

    @property
    def size(self) -> int:
        """Its bytes."""
        file = self._file
        return _largest(file)[1] if isinstance(file, types.Photo) else int(file.size)

    @property
    def location(self) -> Any:
        """Where it is downloaded from; its reference expires (api/file-references)."""
        file = self._file
        known = (file.id, file.access_hash, file.file_reference)
        if isinstance(file, types.Photo):
            return types.InputPhotoFileLocation(*known, _largest(file)[0])
        return types.InputDocumentFileLocation(*known, "")

    @property
    def name(self) -> str:
        """The name that is given to the upload."""
        for it in getattr(self._file, "attributes", ()):
            if isinstance(it, types.DocumentAttributeFilename):
                return str(it.file_name)
        return "photo.jpg" if isinstance(self._file, types.Photo) else "file"

    @property
    def is_photo(self) -> bool:
        """Whether it is shown as a photo."""
        return isinstance(self.media, types.MessageMediaPhoto)

    @property
    def mime_type(self) -> str:
        """Its type; Telegram makes a JPEG of each photo."""
        return "image/jpeg" if self.is_photo else str(self._file.mime_type)

    @property
    def attributes(self) -> list[Any]:
        """What a document is shown as; a photo has none."""
        return list(getattr(self._file, "attributes", ()))

    @property
    def thumb(self) -> tuple[Any, int] | None:
        """Where the picture is that a document is shown with, and its bytes; None for none."""
        file = self._file
        fitting = [
            it
            for it in getattr(file, "thumbs", None) or ()
            if isinstance(it, types.PhotoSize)
            and 0 < it.size <= _MOST_THUMB_BYTES
            and max(it.w, it.h) <= _MOST_THUMB_SIDE
        ]
        if not fitting:
            return None
        best = max(fitting, key=lambda it: it.size)
        known = (file.id, file.access_hash, file.file_reference, best.type)
        return types.InputDocumentFileLocation(*known), int(best.size)

    def uploaded(self, file: Any, thumb: Any) -> Any:
        """Return its media as an upload: what it is shown as, and all of its attributes."""
        return shown_as(self, file, self.mime_type, self.attributes, thumb)


def shown_as(
    source: SourceFile, file: Any, mime_type: str, attributes: list[Any], thumb: Any = None
) -> Any:
    """Return an upload that is shown as a message's file is.

    A video is said to be one: without sound it would become an animation.
    """
    if source.is_photo:
        return types.InputMediaUploadedPhoto(file)
    kind = document_kind(source.media.document)
    return types.InputMediaUploadedDocument(
        file,
        mime_type,
        attributes,
        nosound_video=kind in _VIDEOS or None,
        force_file=kind == "document" or None,
        thumb=thumb,
    )


def source_file(message: Any) -> SourceFile | None:
    """Return the file of one of Telegram's messages; None for a kind that has none.

    Raises NotMadeAnewError for a file that nobody can download.
    """
    media = getattr(message, "media", None)
    if isinstance(media, types.MessageMediaPhoto):
        is_there = isinstance(media.photo, types.Photo) and bool(_largest(media.photo)[1])
    elif isinstance(media, types.MessageMediaDocument):
        is_there = isinstance(media.document, types.Document)
    else:
        return None
    if not is_there or media.ttl_seconds:
        raise NotMadeAnewError("its file is gone, or destroys itself")
    return SourceFile(media)


def made_anew(message: Any) -> Any:
    """Return what has no file as media that can be sent; raises NotMadeAnewError."""
    media = message.media
    if isinstance(media, types.MessageMediaContact):
        names = (media.first_name, media.last_name)
        return types.InputMediaContact(media.phone_number, *names, media.vcard)
    if isinstance(media, types.MessageMediaGeo):
        return types.InputMediaGeoPoint(_point(media.geo))
    if isinstance(media, types.MessageMediaGeoLive):
        return types.InputMediaGeoLive(
            _point(media.geo),
            heading=media.heading,
            period=media.period,
            proximity_notification_radius=media.proximity_notification_radius,
        )
    if isinstance(media, types.MessageMediaVenue):
        texts = (media.title, media.address, media.provider, media.venue_id, media.venue_type)
        return types.InputMediaVenue(_point(media.geo), *texts)
    if isinstance(media, types.MessageMediaPoll):
        return _poll(media)
    if isinstance(media, types.MessageMediaDice):
        raise NotMadeAnewError("a throw of dice cannot be repeated")
    raise NotMadeAnewError(f"nobody but its author can make what it is ({media_kind(message)})")


def moved(message: Any) -> Any:
    """Return what a live location is by now, as an edit of its copy brings it.

    Source: core.telegram.org/api/live-location.
    """
    if is_over(message) or not isinstance(message.media.geo, types.GeoPoint):
        return types.InputMediaGeoLive(types.InputGeoPointEmpty(), stopped=True)
    return made_anew(message)


def _poll(media: Any) -> Any:
    poll = media.poll
    if poll.quiz:
        raise NotMadeAnewError("Telegram does not tell the right answer of its quiz")
    if poll.closed:
        raise NotMadeAnewError("its poll is closed")
    return types.InputMediaPoll(
        types.Poll(
            0,
            poll.question,
            [types.PollAnswer(it.text, it.option) for it in poll.answers],
            0,
            public_voters=poll.public_voters,
            multiple_choice=poll.multiple_choice,
            revoting_disabled=poll.revoting_disabled,
        )
    )


def _point(point: Any) -> Any:
    if not isinstance(point, types.GeoPoint):
        raise NotMadeAnewError("its place is not told")
    return types.InputGeoPoint(point.lat, point.long, accuracy_radius=point.accuracy_radius)


def _largest(photo: Any) -> tuple[str, int]:
    """Return the type and the bytes of a photo's largest form."""
    sizes = [("", 0)]
    for it in photo.sizes:
        if isinstance(it, types.PhotoSize):
            sizes.append((it.type, it.size))
        elif isinstance(it, types.PhotoSizeProgressive):
            sizes.append((it.type, max(it.sizes, default=0)))
    return max(sizes, key=lambda it: it[1])
