"""A plain text is pushed with the same bytes as if it were made of TL objects."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import pytest
from telethon.tl import types

from afx.sandbox.telegram import mentions
from afx.sandbox.telegram.boxes import Event, Message
from afx.sandbox.telegram.plain_pushes import plain_push
from afx.sandbox.telegram.views import update, updates
from afx.sandbox.telegram.world import World

BOLD = types.MessageEntityBold(0, 1)


def push_of(fields: Mapping[str, Any], *, megagroup: bool, viewer: int) -> tuple[Any, bytes]:
    """Return the plain push of a message with such fields, and what objects make of it."""
    world = World()
    author = world.add_account()
    channel = world.add_channel("channel", members=[author.id], megagroup=megagroup)
    made: dict[str, Any] = {"text": "ü" * 200, "entities": [], **fields}
    message = Message(5, channel.marked, author.id, date=1_700_000_000, sent_at=0.0, **made)
    channel.box.messages[5] = message
    event = Event(9, 1, "new", (5,))
    viewer = author.id if viewer else 0
    peers = mentions.mentioned(world, [message], viewer)
    plain = plain_push(event, message, channel, viewer, peers, 1_800_000_000)
    whole = updates([update(event, channel.box, viewer, channel)], *peers, 1_800_000_000)
    return plain, bytes(whole)


@pytest.mark.parametrize("switch", ["", "pinned", "noforwards", "silent", "above"])
@pytest.mark.parametrize("entities", [None, []])
def test_a_plain_text_has_the_bytes_of_its_objects(switch: str, entities: Any) -> None:
    fields = {"entities": entities, **({switch: True} if switch else {})}
    for megagroup, viewer in itertools.product([True, False], [0, 1]):
        plain, whole = push_of(fields, megagroup=megagroup, viewer=viewer)
        assert plain == whole


@pytest.mark.parametrize(
    "fields",
    [
        {"entities": [BOLD]},
        {"forwarded": (1, 2, 3)},
        {"reply_to": 4},
        {"topic": 3},
        {"edited": 1_700_000_001},
        {"grouped": 7},
        {"markup": types.ReplyKeyboardHide()},
        {"action": types.MessageActionPinMessage()},
    ],
    ids=lambda it: next(iter(it)),
)
def test_what_has_more_than_a_text_is_made_of_objects(fields: Mapping[str, Any]) -> None:
    assert push_of(fields, megagroup=True, viewer=0)[0] is None
