"""What is in Redis of the lanes of sender pools: who sends, what was asked for, what became of it.

The session whose rule it is owns the lane, and keeps its order: it asks one sender for one batch
at a time (``pool_put.lua``). The node that has the sender takes the order (``pool_take.lua``) and
answers it, with the links of what it has sent (``pool_answer.lua``). Each script compares the
epoch of the session for which it runs, and the lane's fence, which rises with each owner and each
change of the sender. What was taken and not answered is in doubt: only its sender may be asked
for it again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

from afx.cluster import keys
from afx.cluster.links import CopyLink, writes
from afx.cluster.pool_doubts import Doubt, parse_doubts, worked_until
from afx.cluster.pool_parts import (
    Entry,
    Holder,
    LostOwnerError,
    Owned,
    PoolLane,
    Taken,
    copies_of,
    parse_entry,
)
from afx.cluster.pool_posters import Posters
from afx.cluster.post_claims import PostClaims
from afx.cluster.scripts import source

__all__ = ["Entry", "Holder", "LostOwnerError", "Owned", "PoolLane", "Taken", "parse_entry"]

_NUMBER = re.compile(r"-?[0-9]{1,19}", re.ASCII)
_MOST_ENTRIES = 100


class PoolStore:
    """The scripts of pools' lanes, over a host's own client. All raise redis.RedisError."""

    def __init__(self, client: Any, link_seconds: int) -> None:
        self._redis = client
        self.posters = Posters(client)
        self.claims = PostClaims(client)
        self._seconds = link_seconds
        names = ("own", "put", "look", "take", "answer", "settle", "doubt")
        self._scripts = {it: client.register_script(source(f"pool_{it}")) for it in names}

    async def own(self, lane: PoolLane, owner: Holder) -> Owned | None:
        """Become the owner of a lane; None when another node has the session by now.

        Raises LostOwnerError.
        """
        answer = await self._run("own", lane, owner, owner.session, self._seconds)
        if not answer or answer[0] == 0:
            return None
        if answer[0] == -1:
            raise LostOwnerError
        _, fence, sender, sequence, *rest = map(str, answer)
        return Owned(
            _number(fence),
            _number(sender),
            _number(sequence),
            {_number(i): _number(who) for i, who in zip(rest[::2], rest[1::2], strict=False)},
        )

    async def put(
        self,
        lane: PoolLane,
        owner: Holder,
        *,
        before: int,
        fence: int,
        sequence: int,
        sender: int,
        order: str,
        ids: Mapping[int, tuple[int, int]],
    ) -> str:
        """Ask a sender; ``before`` is the lane's fence, and ``fence`` the one that it gets.

        ``ids`` are the random_ids of its sends, with the source and the message of each.
        Returns ``put``, ``foreign``, ``lost`` (another owner has it, or Redis has lost it),
        or ``away`` (no node has the sender).
        """
        answer = await self._run(
            *("put", lane, owner, before, sender, sequence, order, _joined(ids)),
            *(_entry(lane, sender), fence),
            "".join(f"{it}:{source}:{message}," for it, (source, message) in ids.items()),
        )
        if answer == -1:
            raise LostOwnerError
        return {1: "put", 0: "foreign", -3: "away"}.get(answer, "lost")

    async def look(
        self,
        lane: PoolLane,
        owner: Holder,
        *,
        fence: int,
        sequence: int,
        sender: int,
        take_back: bool,
    ) -> tuple[str, str]:
        """Return what has become of an order, and its answer (see ``pool_look.lua``)."""
        answer = await self._run(
            *("look", lane, owner, fence, sequence, sender, _entry(lane, sender)),
            int(take_back),
        )
        found = [str(it) for it in answer] if isinstance(answer, list) else []
        return (found[0], found[1] if len(found) > 1 else "") if found else ("lost", "")

    async def take(self, lane: PoolLane, sender: Holder) -> Taken | None:
        """Take the order of a lane for a sender; None when there is none for it."""
        answer = await self._run("take", lane, sender, sender.session)
        if not isinstance(answer, list) or answer[0] != 1:
            return None
        _, order, fence, sequence, ids, *doubts = map(str, answer)
        return Taken(
            order,
            _number(fence),
            _number(sequence),
            frozenset(map(int, _NUMBER.findall(ids))),
            frozenset(map(_number, doubts)),
        )

    async def answer(
        self,
        lane: PoolLane,
        sender: Holder,
        *,
        fence: int,
        sequence: int,
        answer: str,
        settled: Iterable[int],
        sent: Iterable[int],
        links: Sequence[CopyLink],
        poster: int = 0,
    ) -> bool:
        """Answer an order; False when that is not wanted any more.

        ``poster`` is who has made the copies, if that is another session than the sender.
        ``settled`` are the random_ids that are in doubt no more, ``sent`` those that have copies.
        """
        done = await self._run(
            *("answer", lane, sender, self._seconds, fence, sequence, answer, _joined(settled)),
            *(_entry(lane, 0), poster or sender.session, copies_of(links), _joined(sent)),
            *chain.from_iterable(writes(sender.session, links)),
        )
        return bool(done == 1)

    async def settle(
        self,
        lane: PoolLane,
        owner: Holder,
        *,
        fence: int,
        sender: int,
        ids: Iterable[int],
        links: Sequence[CopyLink],
    ) -> str:
        """End doubts, with the links of those that have copies; returns as ``put`` does."""
        answer = await self._run(
            *("settle", lane, owner, self._seconds, fence, _joined(ids), sender, copies_of(links)),
            *chain.from_iterable(writes(owner.session, links)),
        )
        if answer == -1:
            raise LostOwnerError
        return {1: "put", 0: "foreign"}.get(answer, "lost")

    async def note_doubts(
        self,
        lane: PoolLane,
        owner: Holder,
        *,
        fence: int,
        sender: int,
        ids: Mapping[int, tuple[int, int]],
    ) -> str:
        """Note doubts that Redis has lost; ``ids`` and what it returns are as with ``put``."""
        messages = "".join(f"{it}:{source}:{of}," for it, (source, of) in ids.items())
        answer = await self._run("doubt", lane, owner, self._seconds, fence, sender, messages)
        if answer == -1:
            raise LostOwnerError
        return {1: "put", 0: "foreign"}.get(answer, "lost")

    async def doubts(self, lane: PoolLane, sender: int) -> tuple[list[Doubt], int, float]:
        """Return a lane's doubts, until when a sender may have been at work, and how long ago.

        Both in seconds of Redis's clock.
        """
        fields = await self._redis.hgetall(keys.pool(*lane))
        seconds, _ = await self._redis.time()
        until = worked_until(fields, sender)
        return parse_doubts(fields), until, max(0.0, float(seconds) - until)

    async def existing(self, lanes: Sequence[PoolLane]) -> list[PoolLane]:
        """Return those of some lanes that senders have had."""
        names = [keys.pool(*it) for it in lanes]
        if not await self._redis.exists(*names):
            return []
        async with self._redis.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.exists(name)
            answers = await pipe.execute()
        return [it for it, found in zip(lanes, answers, strict=True) if found]

    async def asked(self, lanes: Sequence[PoolLane]) -> set[int]:
        """Return the random_ids of what senders of some lanes may have sent, or are asked for.

        With those of the last order, whose links may just have been stored.
        """
        async with self._redis.pipeline(transaction=False) as pipe:
            for it in lanes:
                pipe.hgetall(keys.pool(*it))
            answers = await pipe.execute(raise_on_error=False)
        found = [it for it in answers if isinstance(it, dict)]
        ids = {it.random_id for fields in found for it in parse_doubts(fields)}
        texts = [fields.get(name, "") for fields in found for name in ("ids", "sent")]
        return ids.union(int(it) for text in texts for it in _NUMBER.findall(text))

    async def entries(self, incarnation: str) -> list[Entry]:
        """Take the lanes at which a node is to look; what is malformed is left out."""
        found = await self._redis.lpop(keys.inbox(incarnation), _MOST_ENTRIES)
        return [it for text in found or () if (it := parse_entry(str(text))) is not None]

    async def _run(self, name: str, lane: PoolLane, holder: Holder, *args: Any) -> Any:
        names = [keys.assignment(holder.session), keys.pool(*lane)]
        if name in ("answer", "settle"):
            names.append(keys.posters(*lane))
        elif name == "own":
            names += [keys.pool_lanes(lane.rule), keys.LINKED_RULES]
        return await self._scripts[name](keys=names, args=[holder.incarnation, holder.epoch, *args])


def _entry(lane: PoolLane, sender: int) -> str:
    return f"{lane.rule}:{lane.destination}:{sender}"


def _joined(ids: Iterable[int]) -> str:
    return "".join(f"{it}," for it in ids)


def _number(text: str) -> int:
    return int(text) if _NUMBER.fullmatch(text) else 0
