"""The senders of a host: takes the orders of pools' lanes, carries them out, and answers them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import redis
import structlog

from afx.cluster.links import CopyLink, CopyRoute
from afx.cluster.pools import Entry, Holder, PoolLane, Taken
from afx.errors import SecretError
from afx.node.pool_answers import encode_answer, encode_unread, found_ids, settled_ids
from afx.node.pool_desk import PoolDesk
from afx.node.pool_orders import Order, decode
from afx.node.pool_requests import NOT_CONNECTED, carry_out
from afx.node.pool_search import search
from afx.node.pool_texts import MalformedOrderError
from afx.node.session import HostedSession
from afx.telegram.errors import is_lost_login, logged
from afx.telegram.sender import Outcome

_RETRY_SECONDS = 0.1
_CANCEL_SECONDS = 0.2
_END_SECONDS = 2.0
"""How long the stop of a session waits for what it was asked for."""
_STOPPING = Outcome("wait", seconds=1.0, reason="it is stopping")

log = structlog.get_logger()


@dataclass(slots=True, eq=False)
class _Work:
    sender: int
    task: asyncio.Task[None] | None = None
    again: bool = False
    """It was told of once more: there may be another order."""


class PoolSenders:
    """Carries out what the owners of pools' lanes ask a host's sessions for."""

    def __init__(self, desk: PoolDesk, session: Callable[[int], HostedSession | None]) -> None:
        """``session`` returns one that runs here."""
        self._desk = desk
        self._session = session
        self._wake = asyncio.Event()
        self._under_way: dict[tuple[PoolLane, int], _Work] = {}

    def wake(self) -> None:
        """Look for orders and answers now."""
        self._wake.set()

    async def run(self) -> None:
        """Take what comes, for ever."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                while entries := await self._desk.store.entries(self._desk.incarnation):
                    for it in entries:
                        self._look(it)
            except redis.RedisError as error:
                # Owners tell again.
                log.warning("inbox_not_read", error=repr(error))
                await asyncio.sleep(_RETRY_SECONDS)

    async def end_session(self, session_id: int) -> None:
        """Carry out nothing more for a session that is stopping; call it before it disconnects.

        What it has asked Telegram for is answered: it would stay in doubt otherwise, and its lane
        would wait until the session runs again. What is not answered after a short time is asked
        for again by the session's next node.
        """
        tasks = [it.task for it in self._under_way.values() if it.sender == session_id and it.task]
        if tasks:
            _, tasks_left = await asyncio.wait(tasks, timeout=_END_SECONDS)
            for task in tasks_left:
                task.cancel()

    async def close(self) -> None:
        """End all that is under way.

        One cancel is not enough: a call that is cancelled may raise its own error instead.
        """
        tasks = [it.task for it in self._under_way.values() if it.task is not None]
        left = set(tasks)
        while left:
            for task in left:
                task.cancel()
            _done, left = await asyncio.wait(left, timeout=_CANCEL_SECONDS)
        await asyncio.gather(*tasks, return_exceptions=True)

    def _look(self, entry: Entry) -> None:
        if not entry.sender:
            self._desk.answered(entry.lane)
            return
        key = entry.lane, entry.sender
        if work := self._under_way.get(key):
            work.again = True
            return
        work = self._under_way[key] = _Work(entry.sender)
        work.task = asyncio.get_running_loop().create_task(self._run(entry, work))
        work.task.add_done_callback(lambda task: self._ended(key, task))

    def _ended(self, key: tuple[PoolLane, int], task: asyncio.Task[None]) -> None:
        self._under_way.pop(key, None)
        if not task.cancelled() and (error := task.exception()):
            log.error("order_failed", error=logged(error))

    async def _run(self, entry: Entry, work: _Work) -> None:
        while True:
            work.again = False
            session = self._session(entry.sender)
            if session is None:
                return
            holder = Holder(entry.sender, self._desk.incarnation, session.epoch)
            taken = await self._desk.ask(lambda: self._desk.store.take(entry.lane, holder))  # noqa: B023
            if taken is not None:
                await self._carry_out(entry.lane, holder, session, taken)
            if not work.again:
                return

    async def _carry_out(
        self, lane: PoolLane, holder: Holder, session: HostedSession, taken: Taken
    ) -> None:
        try:
            order = decode(self._desk.open(taken.order, holder.session))
            if (order.sender, order.rule, order.destination) != (holder.session, *lane):
                raise MalformedOrderError("it is of another lane or sender")
        except (SecretError, MalformedOrderError) as error:
            # Such as one of a newer version: the nodes of others may be able to read it.
            log.error("order_malformed", lane=lane, error=str(error))
            await self._desk.ask(
                lambda: self._desk.store.answer(
                    lane,
                    holder,
                    fence=taken.fence,
                    sequence=taken.sequence,
                    answer=encode_unread(sorted(taken.doubts)),
                    settled=sorted(taken.ids - taken.doubts),
                    sent=(),
                    links=(),
                )
            )
            return
        outcomes = await self._outcomes(holder, session, order, taken.doubts)
        if outcomes is None:
            return
        session.sent += sum(it.result == "sent" for it in outcomes)
        sought = order.sought
        made = [
            (it, its.copy)
            for it, its in zip(order.deliveries, outcomes, strict=True)
            if it.op == "send" and its.copy and its.result in ("sent", "known")
        ]
        links = [
            CopyLink(CopyRoute(lane.rule, it.source, lane.destination), it.message, copy)
            for it, copy in made
        ]
        if sought is None:
            settled = settled_ids(order, outcomes, taken.doubts)
        else:
            settled = found_ids(order, outcomes)
        await self._desk.ask(
            lambda: self._desk.store.answer(
                lane,
                holder,
                fence=order.fence,
                sequence=order.sequence,
                answer=encode_answer(outcomes, [it for it in order.ids if it not in settled]),
                settled=settled,
                sent=[it.random_id for it, _ in made],
                links=links,
                poster=sought.session if sought is not None else 0,
            )
        )

    async def _outcomes(
        self, holder: Holder, session: HostedSession, order: Order, doubts: frozenset[int]
    ) -> Sequence[Outcome] | None:
        """Return what has become of an order; None when the session ends here with some in doubt.

        What got no answer is asked for again by the same account, with the same random_ids.
        """
        has_asked = bool(doubts)
        while self._session(holder.session) is session:
            if session.forwarder.lanes.pauses or not session.client.is_connected():
                if not has_asked:
                    return [NOT_CONNECTED] * len(order.deliveries)
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            has_asked = True
            try:
                if order.sought is not None:
                    return await search(session, order, self._desk)
                return await carry_out(session, order)
            except Exception as error:
                if is_lost_login(error):
                    session.lost(error)
                    return None
                if not isinstance(error, OSError | EOFError):
                    log.error(
                        "order_failed", lane=(order.rule, order.destination), error=logged(error)
                    )
                    failure = Outcome("failed", reason=f"a send failed: {type(error).__name__}")
                    return [failure] * len(order.deliveries)
                session.lost(error)
            await asyncio.sleep(_RETRY_SECONDS)
        return None if has_asked else [_STOPPING] * len(order.deliveries)
