"""What a task may do with a session's backfills: begin, follow and end them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from afx.node.backfill_state import Backfill, Range, Stage

if TYPE_CHECKING:
    from afx.node.session import HostedSession

_UNKNOWN = "the session could not go on with it"
Newest = Mapping[int, Callable[[], Awaitable[int]]]
"""How to ask for the newest message of sources."""


class BusyError(Exception):
    """Another task has a backfill of the same rule and destination."""

    def __init__(self, task: int) -> None:
        super().__init__(f"task {task} has it")
        self.task = task


class NotUsedError(Exception):
    """The session forwards nothing of a rule from some source to some destination now."""


@dataclass(slots=True, frozen=True)
class Order:
    """What a task wants; chats are marked ids."""

    task: int
    rule: int
    destinations: Sequence[int]
    wanted: Sequence[Range]
    copied: int = 0
    """How many an earlier attempt has counted."""
    refused: int = 0
    newest: Newest = field(default_factory=dict)
    """Of the sources of which the last message is not chosen yet: it is the newest one there is
    once new ones wait behind it, or that which is wanted, if it is older."""
    publication: int = 0
    """Of the run that asks."""


@dataclass(slots=True, frozen=True)
class Backfilled:
    """How far the backfills of a task are."""

    settled: Mapping[int, int]
    """Source → up to which message all are settled, at each destination."""
    to: Mapping[int, int]
    """Source → the last message."""
    copied: int
    refused: int
    waiting: int
    """Messages that are in outboxes."""
    is_over: bool
    failure: str
    """Why one of them was given up; "" for none."""


async def backfill(session: HostedSession, order: Order) -> Backfilled | None:
    """Begin what a task wants, unless that is done already, and return how far it is.

    None when another node has the session by then. Raises BusyError, NotUsedError, and what
    ``newest`` raises.
    """
    reader, known = session.forwarder.backfiller, session.forwarder.later.backfills
    found: list[Backfill] = []
    fresh: list[Backfill] = []
    for destination in order.destinations:
        it = known.get(order.rule, destination)
        if it is not None and it.task != order.task:
            raise BusyError(it.task)
        ranges = [
            replace(of)
            for of in order.wanted
            if reader.route(order.rule, of.source, destination) is not None
        ]
        if it is not None and not covers(it, ranges):
            reader.end(it)
            it = None
        if it is None:
            if not ranges:
                continue
            it = Backfill(order.task, order.rule, destination, ranges, is_frozen=False)
            fresh.append(it)
        it.publication = order.publication
        found.append(it)
    used = {of.source for it in found for of in it.ranges}
    # What a rule reads from the only chat that it posts to is not forwarded.
    wanted = [it.source for it in order.wanted if {it.source} != set(order.destinations)]
    if not found or not used.issuperset(wanted):
        raise NotUsedError
    if len(fresh) == len(found):
        fresh[0].copied, fresh[0].refused = order.copied, order.refused
    await _begin(session, order.newest, fresh)
    if fresh and not await session.store():
        return None
    for it in found:
        reader.note_asked(it)
    return _state(found)


async def _begin(session: HostedSession, newest: Newest, fresh: Sequence[Backfill]) -> None:
    """Hold what is new, and then choose the last old message: so nothing comes in between."""
    reader = session.forwarder.backfiller
    for it in fresh:
        reader.begin(it)
    try:
        last = {source: await ask() for source, ask in newest.items()} if fresh else {}
    except BaseException:
        for it in fresh:
            reader.end(it)
        raise
    for it in fresh:
        for of in it.ranges:
            of.to = min(of.to, last.get(of.source, of.to))
        reader.freeze(it)


async def end(session: HostedSession, task: int) -> Backfilled | None:
    """End the backfills of a task: what was not sent is withdrawn, what is new waits no more.

    Returns how far they were; None for none.
    """
    found = [it for it in session.forwarder.later.backfills if it.task == task]
    for it in found:
        session.forwarder.backfiller.end(it)
    if not found:
        return None
    state = _state(found)
    await session.store()
    return state


def end_now(session: HostedSession, tasks: Mapping[int, int]) -> None:
    """End the backfills of tasks that are over; the next commit of the session stores that.

    ``tasks`` are their last publications: one of which a later run has asked was resumed since.
    """
    for it in session.forwarder.later.backfills:
        if it.publication <= tasks.get(it.task, -1):
            session.forwarder.backfiller.end(it)


def covers(it: Backfill, ranges: Sequence[Range]) -> bool:
    """Return whether one is about these messages: a rule may have got a source meanwhile, and
    numbers of tasks are given out again after a restore.
    """
    known = {(of.source, of.first): of.to for of in it.ranges}  # an album is taken to its end
    return all(of.to <= known.get((of.source, of.first), 0) for of in ranges)


def _state(found: Iterable[Backfill]) -> Backfilled:
    settled: dict[int, int] = {}
    to: dict[int, int] = {}
    for it in found:
        for of in it.ranges:
            number = it.settled_up_to(of)
            settled[of.source] = min(number, settled.get(of.source, number))
            to[of.source] = max(of.to, to.get(of.source, 0))
    given_up = [it.reason or _UNKNOWN for it in found if it.stage is Stage.GIVEN_UP]
    return Backfilled(
        settled,
        to,
        sum(it.copied for it in found),
        sum(it.refused for it in found),
        sum(len(it.waiting or ()) for it in found),
        all(it.is_over for it in found),
        given_up[0] if given_up else "",
    )
