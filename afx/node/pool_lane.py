"""The owner's side of one lane of a sender pool: who is asked for what, and what became of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import takewhile

import structlog

from afx.cluster.pools import Holder, Owned, PoolLane
from afx.forwarding.pipeline import Delivery
from afx.forwarding.senders import Held, choose
from afx.forwarding.whole_albums import units
from afx.node.lane_doubts import LaneDoubts
from afx.node.pool_answers import decode_answer
from afx.node.pool_desk import PoolDesk
from afx.node.pool_orders import UNFIT, Order, encode, first_unencoded, order_of, search_of
from afx.node.pool_stops import Stopped
from afx.node.pool_texts import MalformedOrderError
from afx.telegram.building import NotBuiltError, build
from afx.telegram.sender import Outcome

_LOOK_SECONDS = 0.25
"""How often an order is looked at that nobody has answered."""
_PATIENCE_SECONDS = 0.75
"""An order that its sender has not taken by then is given to another one."""
_UNTAKEN_SECONDS = 15.0
"""For so long a sender whose node takes nothing is not asked again."""
_AWAY_SECONDS = 5.0
"""The same of a sender that no node has."""
_UNFIT_SECONDS = 300.0
"""The same of one that cannot read, or post, what it was asked for."""
_REPORT_SECONDS = 10.0
"""An order that was taken and not answered by then is reported."""
_MOST_WAIT_SECONDS = 60.0
_MOST_PUT_OFF_SECONDS = 3600.0
"""The same of edits and deletes, for which nothing else waits."""
_DEAD_SECONDS = 60.0
"""An order of a sender that no node has is given up after that: its sends are in doubt."""
_DOUBT_SECONDS = 5.0
"""How often a lane looks whether a doubt is decided."""
_ALONE = "alone is asked for them again"
_NEXT = Outcome("again", reason="it is sent next")

log = structlog.get_logger()


class SenderLane:
    """One pool's lane to one destination, as its owner's node has it."""

    def __init__(
        self, desk: PoolDesk, owner: Holder, lane: PoolLane, changed: Callable[[], None]
    ) -> None:
        """``changed`` is called when its ``trouble`` has."""
        self._changed = changed
        self._desk = desk
        self._owner = owner
        self._lane = lane
        self._owned: Owned | None = None
        self._sender = 0
        """Who sent last."""
        self._fence = 0
        self._sequence = 0
        self._doubts: dict[int, int] = {}
        """random_id → who may have sent it, and alone may be asked for it again."""
        self._asked: Order | None = None
        self._made: Order | None = None
        """The order that was answered last."""
        self._held: dict[int, Held] = {}
        self._found: dict[int, Outcome] = {}
        """random_id → the outcome of what was made, and the lane has not taken: as what is behind
        something that is tried again."""
        self._about = LaneDoubts(desk, owner, lane)
        self._names: dict[int, str] = {}
        """Those of all senders that it has had."""
        self.trouble = ""
        """What somebody has to do something about; empty when all senders can be used."""

    def may_have_sent(self, delivery: Delivery) -> bool:
        """Return whether a sender may have sent, or changed, a delivery that is not settled.

        It may be any as long as nobody has looked at what is in Redis.
        """
        asked = self._asked.deliveries if self._asked is not None else ()
        if any(_key(it) == _key(delivery) for it in asked):
            return True
        is_open = (
            self._owned is None
            or delivery.random_id in self._doubts
            or delivery.random_id in self._found
        )
        return is_open and delivery.op == "send"

    async def send(
        self, batch: Sequence[Delivery], senders: Mapping[int, str], *, singly: bool
    ) -> list[Outcome] | Stopped:
        """Let one of the senders make the first deliveries of a batch; the rest is sent next.

        ``senders`` are the pool's sessions, in order, with their names.
        """
        self._names.update(senders)
        while True:
            if self._asked is None:
                stopped = await self._ask(batch, senders, singly=singly)
                if stopped is not None:
                    return stopped
            outcomes = await self._answer(senders)
            if isinstance(outcomes, Stopped):
                return outcomes
            if outcomes is None:
                continue
            # A batch that was cancelled and begins again begins with the same deliveries.
            made = self._matched(batch, outcomes)
            if made and not self._is_for_another(made[0]):
                self._note_trouble(senders)
                for it, _ in takewhile(_is_taken, zip(batch, made, strict=False)):
                    self._found.pop(it.random_id, None)
                return [*map(self._judged, made), *[_NEXT] * (len(batch) - len(made))]

    # --- asking ---------------------------------------------------------------------------

    async def _ask(
        self, batch: Sequence[Delivery], senders: Mapping[int, str], *, singly: bool
    ) -> list[Outcome] | Stopped | None:
        """Put an order for the first of a batch; returns why that cannot be, None once it is."""
        store, lane, owner = self._desk.store, self._lane, self._owner
        if self._owned is None:
            owned = await self._desk.ask(lambda: store.own(lane, owner))
            if owned is None:
                return Stopped(is_foreign=True)
            self._take_over(owned)
        known = takewhile(lambda it: it.op == "send" and it.random_id in self._found, batch)
        if made := [self._found.pop(it.random_id) for it in known]:
            return [*made, *[_NEXT] * (len(batch) - len(made))]
        part, required = await self._part(batch, senders)
        now = self._desk.monotonic()
        choice = choose(list(senders), self._sender, self._held, now, required=required)
        if not choice.sender and required and part[0].op == "send":
            return await self._decide(batch, part, required, senders)
        if not choice.sender:
            # What waits for who has made its copy holds up nothing else.
            is_waiting = not required or part[0].op == "send"
            self._note_trouble(senders, is_waiting=is_waiting)
            is_put_off = part[0].op in ("edit", "delete")
            most = _MOST_PUT_OFF_SECONDS if is_put_off else _MOST_WAIT_SECONDS
            return Stopped(min(most, max(0.05, choice.wait)), len(part))
        fence = self._fence + (choice.sender != self._sender)
        order = order_of(part, choice.sender, fence, self._sequence + 1, singly=singly)
        try:
            [text] = build(encode, [order])
        except NotBuiltError:
            place, reason = first_unencoded(batch)
            if place < 0:
                raise
            if not place:
                return [Outcome("refused", reason=reason), *[_NEXT] * (len(batch) - 1)]
            return await self._ask(batch[:place], senders, singly=singly)
        answer = await self._put(order, text)
        if answer == "foreign":
            return Stopped(is_foreign=True)
        if answer == "away":
            return await self._ask(batch, senders, singly=singly)
        return None

    async def _put(self, order: Order, text: str) -> str:
        sealed = self._desk.seal(text, order.sender)
        # From here on it may be there, whatever is answered.
        self._asked = order
        answer = await self._desk.ask(
            lambda: self._desk.store.put(
                self._lane,
                self._owner,
                before=self._fence,
                fence=order.fence,
                sequence=order.sequence,
                sender=order.sender,
                order=sealed,
                ids=order.messages,
            )
        )
        if answer == "away":
            self._asked = None
            self._note_away(order)
        return answer

    async def _decide(
        self,
        batch: Sequence[Delivery],
        part: Sequence[Delivery],
        required: int,
        senders: Mapping[int, str],
    ) -> list[Outcome] | Stopped | None:
        """Do what can be done about sends that one sender alone may be asked for, and cannot be.

        Returns what ``_ask`` does.
        """
        its = [it for it in part if self._doubts.get(it.random_id) == required]
        doubts, until, idle = await self._about.stored(its, required, self._fence)
        answer, ids, made = await self._about.decided(part, doubts, idle, required, self._fence)
        if answer == "foreign":
            return Stopped(is_foreign=True)
        if answer == "lost":
            self._owned = None
            return Stopped()
        if answer == "put":
            for it in ids:
                self._doubts.pop(it, None)
            return [*made, *[_NEXT] * (len(batch) - len(made))] if made else Stopped()
        search = await self._about.search(part, doubts, until, idle, required, list(senders))
        self._note_trouble(senders, is_waiting=True, required=required, part=part)
        if search is None:
            return Stopped(wait=_DOUBT_SECONDS)
        place = self._fence + 1, self._sequence + 1
        order = search_of(search.part, search.reader, *place, search.sought)
        answer = await self._put(order, encode(order))
        if answer == "foreign":
            return Stopped(is_foreign=True)
        return Stopped(wait=_DOUBT_SECONDS) if answer == "away" else None

    def _note_away(self, order: Order) -> None:
        """Note that no node has who was asked."""
        if order.sought is not None:
            self._about.note_unable(order.sender)
            return
        self._about.note_contact(order.sender, "away")
        self._hold(order.sender, _AWAY_SECONDS, "it is not running", is_trouble=True)

    def _take_over(self, owned: Owned) -> None:
        # A fence that has not risen: Redis has lost the lane, and what was in doubt with it.
        if owned.fence > self._fence or not self._fence:
            self._doubts = dict(owned.doubts)
        else:
            self._doubts = {**self._doubts, **owned.doubts}
        self._about.forget_contacts()
        self._owned, self._fence = owned, owned.fence
        self._sender = owned.sender or self._sender
        self._sequence = max(owned.sequence, self._sequence)

    async def _part(
        self, batch: Sequence[Delivery], senders: Mapping[int, str]
    ) -> tuple[Sequence[Delivery], int]:
        """Return the first of a batch that one sender can be asked for, and who that has to be."""
        if batch[0].op != "send":
            return await self._changes(batch, senders)
        part: list[Delivery] = []
        required = 0
        for unit in units(batch, lambda it: it):
            who = next(
                (self._doubts[it.random_id] for it in unit if it.random_id in self._doubts), 0
            )
            if who and required and who != required:
                break
            if part and not required and who and who != self._sender:
                break
            required = required or who
            part += unit
        return part, required

    async def _changes(
        self, batch: Sequence[Delivery], senders: Mapping[int, str]
    ) -> tuple[Sequence[Delivery], int]:
        """Return the first changes whose copies one sender has made, and that one.

        0: it is not known, or it cannot be asked any more: another one may be allowed to.
        """
        found = await self._desk.ask(
            lambda: self._desk.store.posters.of(self._lane, [it.copy for it in batch])
        )
        who = found[0]
        same = next((place for place, it in enumerate(found) if it != who), len(batch))
        held = self._held.get(who)
        is_usable = who in senders and not (held and held.is_trouble)
        return batch[:same], who if is_usable else 0

    # --- the answer -----------------------------------------------------------------------

    async def _answer(self, senders: Mapping[int, str]) -> list[Outcome] | Stopped | None:
        """Wait for the answer to what was asked; None when nothing was made of it."""
        order, started, may_take_back = self._asked, self._desk.monotonic(), True
        assert order is not None
        is_away, seen = False, started  # ``seen``: since when it is away, or when it was not
        while True:
            await self._desk.wait(self._lane, _LOOK_SECONDS)
            waited = self._desk.monotonic() - started
            back = may_take_back and waited >= _PATIENCE_SECONDS
            found, text = await self._desk.ask(lambda: self._look(order, take_back=back))  # noqa: B023
            may_take_back = found != "taken"
            if found not in ("foreign", "lost"):
                self._note_put(order)
            if found == "answered":
                return self._take(order, text)
            if found == "foreign":
                return Stopped(is_foreign=True)
            now = self._desk.monotonic()
            seen, is_away = (seen if is_away else now), found == "away"
            patience = _UNTAKEN_SECONDS if order.sought is not None else _DEAD_SECONDS
            if found == "lost" or (is_away and now - seen >= patience):
                # It was not put, or Redis has lost it, or it will not be answered: whoever was
                # asked may have sent it.
                self._asked, self._owned = None, None
                self._doubts.update(dict.fromkeys(order.ids, order.sender))
                return None
            if found == "back":
                self._asked = None
                if text == "away":
                    self._note_away(order)
                elif order.sought is not None:
                    self._about.note_unable(order.sender)
                else:
                    text = "its node does not answer"
                    self._about.note_contact(order.sender, "silent")
                    self._hold(order.sender, _UNTAKEN_SECONDS, text, is_trouble=True)
                return None
            if found == "away":
                self._hold(order.sender, 0.0, "it is not running", is_trouble=True)
            if found == "away" or waited >= _REPORT_SECONDS:
                self._note_trouble(senders, is_waiting=True, required=order.sender)

    def _note_put(self, order: Order) -> None:
        if order.sender != self._sender and self._sender and order.sought is None:
            log.info("pool_handed_over", lane=self._lane, to=order.sender, fence=order.fence)
        if order.sought is None:
            self._sender = order.sender
        self._fence, self._sequence = order.fence, order.sequence

    async def _look(self, order: Order, *, take_back: bool) -> tuple[str, str]:
        return await self._desk.store.look(
            self._lane,
            self._owner,
            fence=order.fence,
            sequence=order.sequence,
            sender=order.sender,
            take_back=take_back,
        )

    def _take(self, order: Order, text: str) -> list[Outcome] | Stopped:
        self._asked = None
        try:
            outcomes, doubts = decode_answer(text, len(order.deliveries))
        except MalformedOrderError as error:
            log.error("answer_malformed", lane=self._lane, error=str(error))
            self._doubts.update(dict.fromkeys(order.ids, order.sender))
            return Stopped(wait=_AWAY_SECONDS)
        self._made = order
        self._found.update(
            {
                it.random_id: its
                for it, its in zip(order.deliveries, outcomes, strict=True)
                if it.op == "send" and its.result in ("sent", "known")
            }
        )
        if order.sought is not None:
            for it in self._about.judge(order, outcomes):
                self._doubts.pop(it, None)
            return outcomes
        self._about.note_contact(order.sender, "answered")
        # What its node had taken more than once, only that node knows.
        for it in order.ids:
            self._doubts.pop(it, None)
        self._doubts.update(dict.fromkeys(doubts, order.sender))
        self._held.pop(order.sender, None)
        for its in outcomes:
            if its.result == "wait":
                self._hold(order.sender, its.seconds, its.reason)
            elif its.reason.startswith(UNFIT) and order.deliveries[0].op == "send":
                reason = its.reason.removeprefix(UNFIT)
                self._hold(order.sender, _UNFIT_SECONDS, reason, is_trouble=True)
        return outcomes

    def _matched(self, batch: Sequence[Delivery], outcomes: Sequence[Outcome]) -> list[Outcome]:
        """Return the outcomes of the first of a batch that were asked for, in its order."""
        assert self._made is not None
        made: list[Outcome] = []
        for it, asked, outcome in zip(batch, self._made.deliveries, outcomes, strict=False):
            if _key(it) != _key(asked):
                break
            made.append(outcome)
        return made

    def _is_for_another(self, outcome: Outcome) -> bool:
        """Return whether another sender may make what is first."""
        assert self._made is not None
        if self._made.sought is not None:
            return outcome.result != "known"
        is_unfit = outcome.reason.startswith(UNFIT) and self._has_sent
        return outcome.result == "wait" or is_unfit

    @property
    def _has_sent(self) -> bool:
        """Whether the order that was answered last was to send."""
        return self._made is not None and self._made.deliveries[0].op == "send"

    def _judged(self, outcome: Outcome) -> Outcome:
        """Return an outcome as the lane takes it: waits of senders are not the lane's."""
        if outcome.result == "wait":
            return replace(_NEXT, reason=outcome.reason)
        if outcome.reason.startswith(UNFIT):
            if self._has_sent:
                return _NEXT
            return replace(outcome, reason=outcome.reason.removeprefix(UNFIT))
        return outcome

    # --- who is held ----------------------------------------------------------------------

    def _hold(self, sender: int, seconds: float, reason: str, *, is_trouble: bool = False) -> None:
        until = self._desk.monotonic() + seconds
        before = self._held.get(sender)
        if before is None or until >= before.until:
            self._held[sender] = Held(until, reason, is_trouble)

    def _note_trouble(
        self,
        senders: Mapping[int, str],
        *,
        is_waiting: bool = False,
        required: int = 0,
        part: Sequence[Delivery] = (),
    ) -> None:
        now = self._desk.monotonic()
        parts = [
            f"{name}: {held.reason}"
            for it, name in senders.items()
            if (held := self._held.get(it))
            and (held.is_trouble or is_waiting)
            and (held.until > now or it == required)
        ]
        if required and is_waiting:
            name = self._names.get(required, f"session {required}")
            unclear = self._about.reason(part)
            then = f"that is unclear: {unclear}; see 'afx rule doubt'" if unclear else _ALONE
            parts.append(f"{name} may have sent some messages, and {then}")
        before, self.trouble = self.trouble, "; ".join(parts)
        if self.trouble != before:
            self._changed()


def _key(it: Delivery) -> tuple[str, int, int]:
    return it.op, it.source, it.message


def _is_taken(made: tuple[Delivery, Outcome]) -> bool:
    """Return whether the lane goes on behind an outcome."""
    return made[1].result in ("sent", "known", "refused")
