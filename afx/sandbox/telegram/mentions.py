"""The users and chats that messages speak of: serialized once, as long as they look the same."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from afx.sandbox.telegram import views
from afx.sandbox.telegram.boxes import Message
from afx.sandbox.telegram.peers import Account, Channel, Peer
from afx.sandbox.telegram.world import World


def mentioned(
    world: World, messages: Iterable[Message], viewer: int
) -> tuple[list[Any], list[Any]]:
    """Return the (users, chats) that some messages speak of, as TL."""
    found: dict[int, Peer] = {}
    for it in messages:
        for number in (it.chat, it.sender, it.forwarded[0] if it.forwarded else 0):
            if number and number not in found and (peer_ := world.find(number)):
                found[number] = peer_
    return split(found.values(), viewer)


def split(peers: Iterable[Peer], viewer: int) -> tuple[list[Any], list[Any]]:
    """Return peers as TL, as (users, chats), each serialized already."""
    users: list[Any] = []
    chats: list[Any] = []
    for it in peers:
        if isinstance(it, Account):
            users.append(_known_user(it, viewer))
        elif isinstance(it, Channel):
            chats.append(_known_channel(it, viewer))
        else:
            chats.append(views.chat(it, viewer))
    return users, chats


_known: dict[tuple[Any, ...], views.Raw] = {}
"""Users and channels as they were shown, by all that decides how they look."""
_MOST_KNOWN = 10_000


def _known_user(it: Account, viewer: int) -> views.Raw:
    own = it.id == viewer
    names = (it.first_name, it.username, tuple(it.usernames), it.phone, it.is_bot)
    key = ("user", it.id, viewer, own, *names)
    return _known.get(key) or _keep(key, views.user(it, viewer))


def _known_channel(it: Channel, viewer: int) -> views.Raw:
    own = (it.creator == viewer, viewer in it.members, viewer in it.banned)
    kind = (it.megagroup, it.topics is not None, it.noforwards, it.slow_mode_seconds > 0)
    names = (it.title, it.date, it.username, tuple(it.usernames))
    key = ("channel", it.id, viewer, *own, *kind, *names)
    return _known.get(key) or _keep(key, views.chat(it, viewer))


def _keep(key: tuple[Any, ...], it: Any) -> views.Raw:
    if len(_known) >= _MOST_KNOWN:
        _known.clear()
    _known[key] = found = views.Raw(bytes(it))
    return found
