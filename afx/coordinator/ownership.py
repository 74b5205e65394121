"""The owners of sessions as Redis has them: which node, under which epoch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import redis

from afx.cluster import fields, keys
from afx.cluster.leadership import Leadership
from afx.cluster.scripts import FencedScript
from afx.coordinator.decisions import counters
from afx.coordinator.wire import Headroom, place_item, release_item
from models.storage.assignments import Active

_T = TypeVar("_T")
_PLACED_PER_CALL = 25
"""Redis serves no other client during a call, so a call is short."""
_WRITTEN_PER_CALL = 1000


@dataclass(slots=True, frozen=True)
class Claims:
    """What became of claims; the node of a session that is in none of these has changed."""

    claimed: tuple[Active, ...]
    no_room: tuple[int, ...]
    """Sessions whose node had no room."""
    unreleased: tuple[Active, ...]
    """The present owners of sessions that Redis has given to another one."""


class Ownership:
    """Claims, releases and restores places on nodes, in one term of leadership.

    Only AssignmentTable uses it. All methods raise FencedError when a newer term
    has begun.
    """

    def __init__(self, client: redis.Redis, leadership: Leadership, headroom: Headroom) -> None:
        self._redis = client
        self._leadership = leadership
        self._headroom = headroom
        self._place = FencedScript(client, "place")
        self._release = FencedScript(client, "release")
        self._restore = FencedScript(client, "restore")

    def claim(self, places: Sequence[tuple[Active, int]]) -> Claims:
        """Make nodes the owners of sessions that need so many bytes."""
        claimed: list[Active] = []
        no_room: list[int] = []
        owned: list[Active] = []
        for part in _parts(places, _PLACED_PER_CALL):
            self._leadership.check()
            items = [place_item(active, needed, self._headroom) for active, needed in part]
            answers = self._place(self._leadership.term, args=items)
            for (active, _), answer in zip(part, answers, strict=True):
                if answer == "OK":
                    claimed.append(active)
                elif answer == "NOFIT":
                    no_room.append(active.session)
                elif answer == "OWNED":
                    owned.append(active)
        return Claims(tuple(claimed), tuple(no_room), tuple(self._owners(owned)))

    def release(self, ended: Sequence[Active]) -> None:
        """Take sessions off their nodes, and free their room."""
        for part in _parts(ended, _WRITTEN_PER_CALL):
            self._release(self._leadership.term, args=[release_item(it) for it in part])

    def restore(self, actives: Sequence[Active]) -> None:
        """Write the owners of sessions where a Redis that lost data has not got them."""
        for part in _parts(actives, _WRITTEN_PER_CALL):
            self._restore(self._leadership.term, args=[release_item(it) for it in part])

    def _owners(self, claims: Sequence[Active]) -> Iterator[Active]:
        """Return the owners of sessions as Redis has them, of which claims were refused.

        An epoch that was never given out counts as 0, under which ``release.lua`` ends it.
        """
        pipe = self._redis.pipeline(transaction=False)
        for it in claims:
            pipe.hmget(keys.assignment(it.session), "node", "incarnation", "epoch")
        answers = pipe.execute(raise_on_error=False)
        for claim, owner in zip(claims, answers, strict=True):
            if isinstance(owner, redis.ResponseError):
                continue  # the next claim removes a key of another type
            if isinstance(owner, Exception):
                raise owner
            node, incarnation, text = (it or "" for it in owner)
            epoch = fields.integer(text, limit=counters.epoch_limit(claim.epoch))
            if incarnation:
                yield Active(claim.session, node, incarnation, epoch or 0, "stopping")


def _parts(items: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    return (items[start : start + size] for start in range(0, len(items), size))
