"""What a node and the process of a plug-in tell each other, as JSON in the plug-in's directory."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from afx.plugins import Drop, File, Message

ORDER, ANSWER = "order.json", "answer.json"
LONGEST = 16_384
"""Characters that a plug-in may return; what Telegram does not take is cut later."""
_MOST_BYTES = 1024 * 1024
_MOST_ENTITIES = 1_000
_LONGEST_NAME = 200


class WrongAnswerError(Exception):
    """What a plug-in has returned cannot be used; the text says why."""


def order_text(
    name: str, settings: Mapping[str, str], message: Message, *, memory: int, most: int, cpu: int
) -> str:
    """Return what a process is told: limits of its memory and of a file it writes, in bytes.

    ``cpu`` is that of its CPU time, in seconds.
    """
    return json.dumps(
        {
            "name": name,
            "settings": dict(settings),
            "memory": memory,
            "most": most,
            "cpu": cpu,
            "message": fields_of(message),
        }
    )


def fields_of(message: Message) -> dict[str, Any]:
    """Return a message as values of JSON; raises what an entity raises that cannot be sent."""
    file = message.file
    return {
        "text": message.text,
        "entities": [bytes(it).hex() for it in message.entities],
        "media": message.media,
        "source": message.source,
        "number": message.number,
        "rule": message.rule,
        "is_edit": message.is_edit,
        "file": file and [str(file.path), file.name, file.mime_type, file.size],
    }


def message_of(fields: Mapping[str, Any]) -> Message:
    """Return the message that ``fields_of`` has made values of."""
    known = {it: fields[it] for it in ("text", "media", "source", "number", "rule", "is_edit")}
    file = File(*fields["file"]) if fields["file"] else None
    return Message(**known, entities=_entities(fields["entities"]), file=file)


def answer_text(answer: Any) -> str:
    """Return what a process says of a plug-in's answer; raises TypeError for none of them."""
    if answer is None:
        return json.dumps({"kind": "none"})
    if isinstance(answer, Drop):
        return json.dumps({"kind": "drop"})
    if isinstance(answer, Message):
        return json.dumps({"kind": "message", **fields_of(answer)})
    raise TypeError("neither a message, nor Drop, nor None")


def read_answer(directory: Path, message: Message) -> Message | Drop:
    """Return a process's answer about a message; raises WrongAnswerError.

    A file in it is not checked yet.
    """
    try:
        # A pipe in its place would be waited for.
        with os.fdopen(os.open(directory / ANSWER, os.O_RDONLY | os.O_NONBLOCK), "rb") as stream:
            if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                raise WrongAnswerError("its answer is no file")
            data = stream.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise WrongAnswerError("its answer is too long")
        fields = json.loads(data)
        if fields["kind"] == "failed":
            reason = str(fields["reason"])[:_LONGEST_NAME]
            raise WrongAnswerError(reason.encode(errors="replace").decode())
        if fields["kind"] == "none":
            return message
        if fields["kind"] == "drop":
            return Drop()
        return _checked(fields, message)
    except FileNotFoundError:
        raise WrongAnswerError("its process ended without an answer") from None
    except WrongAnswerError:
        raise
    except Exception:  # whatever reading such values raises
        raise WrongAnswerError("its answer is no message") from None


def _checked(fields: Mapping[str, Any], message: Message) -> Message:
    text, file = fields["text"], fields["file"]
    if not isinstance(text, str) or len(text) > LONGEST:
        raise ValueError("no text")
    text.encode()  # a lone surrogate cannot be sent
    if file is not None:
        path, name, mime_type, size = file
        if not all(isinstance(it, str) for it in (path, name, mime_type)) or not path:
            raise ValueError("no file")
        own = message.file  # the names that its message gives it are no matter of the plug-in
        for it in {name, mime_type} - ({own.name, own.mime_type} if own else set()):
            if not 0 < len(it) <= _LONGEST_NAME:
                raise ValueError("no names")
            it.encode()
        if "\0" in path:
            raise ValueError("no path")
        given = File(path, name, mime_type, size)
        # Only one that is new has no size.
        file = message.file if given == message.file else File(path, name, mime_type)
    return Message(
        text,
        _entities(fields["entities"]),
        message.media,
        message.source,
        message.number,
        message.rule,
        message.is_edit,
        file,
    )


def _entities(values: Any) -> tuple[Any, ...]:
    """Return entities of their bytes; telethon is loaded only where there are any."""
    if not isinstance(values, list) or len(values) > _MOST_ENTITIES:
        raise ValueError("no entities")
    if not values:
        return ()
    from telethon.extensions import BinaryReader

    found = []
    for it in values:
        entity = BinaryReader(bytes.fromhex(it)).tgread_object()
        if not type(entity).__name__.startswith(("MessageEntity", "InputMessageEntity")):
            raise ValueError("no entity")
        found.append(entity)
    return tuple(found)
