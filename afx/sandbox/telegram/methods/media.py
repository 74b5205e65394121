"""Files: uploading, downloading, and sending them, alone or as albums.

Source: core.telegram.org/api/files and the page of each method.
"""

from __future__ import annotations

import secrets
from typing import Any

from telethon.tl import functions, types

from afx.sandbox.errors import RpcError
from afx.sandbox.telegram import polls, views
from afx.sandbox.telegram.files import File
from afx.sandbox.telegram.methods import send_checks, sending, threads
from afx.sandbox.telegram.methods.call import Call, method
from afx.sandbox.telegram.methods.input_media import media_of
from afx.sandbox.telegram.peers import Sent

_MOST_CAPTION = 1024
_MOST_IN_ALBUM = 10
_MEGABYTE = 1024 * 1024


@method(functions.upload.SaveFilePartRequest, functions.upload.SaveBigFilePartRequest)
def save_part(call: Call, request: Any) -> Any:
    """Store one part of an upload.

    Source: core.telegram.org/method/upload.saveFilePart and /method/upload.saveBigFilePart.
    """
    call.world.files.uploads.save(call.me.id, request, call.me.most_parts)
    return views.TRUE


@method(functions.upload.GetFileRequest)
def get_file(call: Call, request: Any) -> Any:
    """A piece of a file; the reference must be of now.

    Source: core.telegram.org/api/files, "Downloading files": which pieces may be asked for.
    """
    step = 1024 if request.precise else 4096
    size = request.limit
    if size <= 0 or size % step or size > _MEGABYTE:
        raise RpcError(400, "LIMIT_INVALID")
    if not request.precise and _MEGABYTE % size:
        raise RpcError(400, "LIMIT_INVALID")
    first = request.offset
    if first < 0 or first % step or first // _MEGABYTE != (first + size - 1) // _MEGABYTE:
        raise RpcError(400, "OFFSET_INVALID")
    file = call.world.files.find(request.location)
    if file.data_centre != call.client.data_centre:
        raise RpcError(303, f"FILE_MIGRATE_{file.data_centre}")
    data = file.piece(getattr(request.location, "thumb_size", ""))
    return types.upload.File(types.storage.FileUnknown(), file.date, data[first : first + size])


@method(functions.messages.UploadMediaRequest)
def upload_media(call: Call, request: Any) -> Any:
    """A file that was uploaded, as media that can be sent."""
    call.peer(request.peer)
    return media_of(call, request.media).view()


@method(functions.messages.SendMediaRequest, frozen=False)
def send_media(call: Call, request: Any) -> Any:
    """Send a file, poll, contact, place or dice; a repeated random_id makes nothing new.

    Source: core.telegram.org/method/messages.sendMedia.
    """
    send_checks.check_schedule(request.schedule_date)
    peer = call.peer(request.peer)
    _check_caption(request.message)
    send_checks.check(call, peer, [request.random_id])
    made = call.me.sent.get((send_checks.chat_of(peer), request.random_id))
    if made is None:
        place = threads.place_of(call, peer, request.reply_to)
        media = media_of(call, request.media)
        polls.check_place(media, peer)
        made = Sent(
            *sending.deliver(
                call,
                peer,
                request.message,
                request.random_id,
                markup=sending.markup_of(call, request.reply_markup),
                entities=sending.entities_of(call, request.entities),
                media=media,
                silent=bool(request.silent),
                above=bool(request.invert_media),
                **place,
            )
        )
    return sending.answer(call, peer, [(*made, request.random_id)])


@method(functions.messages.SendMultiMediaRequest, frozen=False)
def send_album(call: Call, request: Any) -> Any:
    """Send an album; each of its messages has a random_id of its own."""
    send_checks.check_schedule(request.schedule_date)
    peer = call.peer(request.peer)
    items = request.multi_media
    if not 0 < len(items) <= _MOST_IN_ALBUM:
        raise RpcError(400, "MULTI_MEDIA_TOO_LONG" if items else "MEDIA_EMPTY")
    for it in items:
        _check_caption(it.message)
    send_checks.check(call, peer, [it.random_id for it in items])
    files = [media_of(call, it.media) for it in items]
    if not all(isinstance(it, File) for it in files):
        raise RpcError(400, "MEDIA_INVALID")
    chat = send_checks.chat_of(peer)
    place: dict[str, Any] = {}
    if any((chat, it.random_id) not in call.me.sent for it in items):
        place = threads.place_of(call, peer, request.reply_to)
    grouped = secrets.randbits(62)
    done = []
    for it, file in zip(items, files, strict=True):
        made = call.me.sent.get((chat, it.random_id)) or sending.deliver(
            call,
            peer,
            it.message,
            it.random_id,
            entities=sending.entities_of(call, it.entities),
            media=file,
            grouped=grouped,
            silent=bool(request.silent),
            above=bool(request.invert_media),
            **place,
        )
        done.append((*made, it.random_id))
    return sending.answer(call, peer, done)


def _check_caption(text: str) -> None:
    if len(text) > _MOST_CAPTION:
        raise RpcError(400, "MEDIA_CAPTION_TOO_LONG")
