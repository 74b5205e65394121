"""Which posts of a destination are the copies that an account may have made; without I/O.

Telegram gives nobody the random_id of a post, so posts are known by what they are. Clear is:

- found: as many posts of the same content (media, and text or the message that was forwarded) as
  are looked for, in the same order. Posts that are known to be copies of something else do not
  count, nor those of other authors, where Telegram tells authors: in groups, and not in channels.
- not there: no post is like it, no post of the same media is left over that may be it in other
  words, or as the forward of a forward, and nothing is missing among the posts since: of a
  channel's ids, which have no gaps, one that is missing is of a message that was deleted, which
  may have been the copy.

All else is unclear.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(slots=True, frozen=True)
class Look:
    """What a post, or a copy to be made, is like."""

    kind: str
    """Its media, as rules name them; "" where that is not known."""
    text: str
    """Without the spaces around it, which Telegram removes."""
    forwarded: tuple[int, int] | None = None
    """Source and message of what was forwarded."""


@dataclass(slots=True, frozen=True)
class Post:
    """A post that may be a copy."""

    id: int
    look: Look


@dataclass(slots=True, frozen=True)
class Verdict:
    """What became of one send; without a copy and a reason it was not made."""

    copy: int = 0
    unclear: str = ""
    """Why that is not known."""


def judge(wanted: Sequence[Look | None], posts: Sequence[Post], missing: str = "") -> list[Verdict]:
    """Return what became of some sends, in their order.

    ``posts`` are those since the sends began that may be copies, by id; None is wanted of a copy
    that could not be recognised. ``missing`` says why not all posts since then are known; empty
    when they are.
    """
    of_look: dict[Look, list[int]] = defaultdict(list)
    for post in posts:
        of_look[_key(post.look)].append(post.id)
    places: dict[Look, list[int]] = defaultdict(list)
    for place, look in enumerate(wanted):
        if look is not None:
            places[_key(look)].append(place)
    copies: dict[int, int] = {}
    unclear: dict[int, str] = {}
    for look, its in places.items():
        found = of_look.get(look, [])
        if len(found) == len(its):
            copies.update(zip(its, found, strict=True))
        elif found:
            unclear.update(dict.fromkeys(its, f"{len(found)} posts are like {len(its)} of them"))
    in_order = [copies[it] for it in sorted(copies)]
    if in_order != sorted(in_order):
        return [Verdict(unclear="posts are like them in another order")] * len(wanted)
    left = [it for it in posts if it.id not in set(in_order)]
    verdicts = []
    for place, its_look in enumerate(wanted):
        if place in copies:
            verdicts.append(Verdict(copies[place]))
            continue
        why = unclear.get(place) or missing
        if not why and any(its_look is None or _may_be(it.look, its_look) for it in left):
            why = "a post there may be it in other words"
        verdicts.append(Verdict(unclear=why))
    return verdicts


def _key(look: Look) -> Look:
    """Return what counts of a post: of a forward what was forwarded."""
    return Look("", "", look.forwarded) if look.forwarded else look


def _may_be(post: Look, wanted: Look) -> bool:
    if post.forwarded and wanted.forwarded:
        # A forward of a forward names what was forwarded first: of another chat, or earlier.
        # Source: core.telegram.org/constructor/messageFwdHeader
        (chat, message), (source, its) = post.forwarded, wanted.forwarded
        return chat != source or message < its
    return wanted.forwarded is not None or not wanted.kind or post.kind == wanted.kind
