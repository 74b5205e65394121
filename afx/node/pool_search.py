"""Looks in a destination for copies that an account may have made, which cannot be asked.

Another account of the rule reads the posts since then; what is clear of them, and what is not, is
said in ``afx.forwarding.lost_copies``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from telethon import errors, utils
from telethon.tl import functions, types

from afx.cluster.links import Origin, is_channel
from afx.forwarding.lost_copies import Look, Post, judge
from afx.forwarding.pipeline import Delivery
from afx.node.pool_answers import ABSENT, UNCLEAR
from afx.node.pool_desk import PoolDesk
from afx.node.pool_orders import UNFIT, Order
from afx.node.pool_requests import knows
from afx.node.pool_sought import Sought
from afx.node.session import HostedSession
from afx.telegram.budgets import method_name
from afx.telegram.errors import error_name, is_for_people, refuses_chat
from afx.telegram.facts import media_kind
from afx.telegram.sender import Outcome, is_forward

_PAGE, _MOST_PAGES = 100, 20
_MOST_CLAIMS = 5
"""Times that posts are chosen of which others have claimed some meanwhile."""
_CLOCKS_SECONDS = 120
"""By how much the clocks of Telegram and of Redis may differ."""
_METHOD = method_name(functions.messages.GetHistoryRequest)


async def search(session: HostedSession, order: Order, desk: PoolDesk) -> list[Outcome]:
    """Return what is known of the sends of an order: ``known``, or ``again`` with its reason.

    Raises ConnectionError when there may have been no answer, and the error of a lost login.
    """
    sought, batch = order.sought, order.deliveries
    assert sought is not None
    unable = await _unable(session, order.destination)
    if unable is not None:
        return [unable] * len(batch)
    try:
        posts, missing = await _read(session, order.destination, sought)
    except errors.FloodError as error:
        seconds = max(1.0, float(getattr(error, "seconds", None) or 60.0))
        session.forwarder.note_wait(_METHOD, seconds, error_name(error))
        return [Outcome("wait", seconds=seconds, reason="it has to wait")] * len(batch)
    except errors.RPCError as error:
        if not refuses_chat(error) and not is_for_people(error):
            raise
        return [Outcome("refused", reason=f"{UNFIT}{error_name(error)}")] * len(batch)
    who = 0
    if any(map(_author, posts)):
        who = await _author_of(session, order.destination, sought.sample)
    for _ in range(_MOST_CLAIMS):
        outcomes, claimed = await _judged(session, order, desk, posts, missing, who)
        claims, to = desk.store.claims, order.destination
        if not claimed or await desk.ask(lambda: claims.claim(to, claimed)):  # noqa: B023
            return outcomes
    return [Outcome("again", reason=f"{UNCLEAR}others look for the same there")] * len(batch)


async def _judged(
    session: HostedSession,
    order: Order,
    desk: PoolDesk,
    posts: Sequence[Any],
    missing: str,
    who: int,
) -> tuple[list[Outcome], dict[int, int]]:
    """Return what is known of the sends of an order, and the posts that are to be claimed for some.

    ``who`` is the author of copies of the account in doubt; 0 where that is not known.
    """
    sought, batch, to = order.sought, order.deliveries, order.destination
    assert sought is not None
    # Claims first: what is claimed may be linked, and not claimed any more.
    claims = await desk.ask(lambda: desk.store.claims.of(to))
    of = await session.forwarder.admission.judge_of_copies.origins_of(to, [it.id for it in posts])
    linked = {it: copy for copy, it in of.items()}
    mine = {random_id: copy for copy, random_id in claims.items()}
    copies = [
        linked.get(Origin(order.rule, it.source, it.message), 0) or mine.get(it.random_id, 0)
        for it in batch
    ]
    left = [place for place, copy in enumerate(copies) if not copy]
    authors = {it.id: _author(it) for it in posts}
    candidates = [
        Post(it.id, _look_of(it))
        for it in posts
        if isinstance(it, types.Message)
        and it.id not in of
        and it.id not in claims
        and authors[it.id] in (0, who or authors[it.id])
        and not (it.out and sought.session != order.sender and authors[it.id])
    ]
    wanted = [_wanted(batch[it], sought.kinds[it]) for it in left]
    if not who and any(authors[it.id] for it in candidates):
        wanted = [None] * len(left)
        missing = "nobody can tell which posts there its account has made"
    verdicts = judge(wanted, candidates, missing)
    outcomes = [Outcome("known", it, is_earlier=True) for it in copies]
    for place, verdict in zip(left, verdicts, strict=True):
        if verdict.copy:
            outcomes[place] = Outcome("known", verdict.copy, is_earlier=True)
        else:
            reason = f"{UNCLEAR}{verdict.unclear}" if verdict.unclear else ABSENT
            outcomes[place] = Outcome("again", reason=reason)
    found = {outcomes[it].copy: batch[it].random_id for it in left if outcomes[it].copy}
    return outcomes, found


async def _unable(session: HostedSession, destination: int) -> Outcome | None:
    """Return why an account reads nothing there now; None when it does."""
    if not await knows(session, destination):
        return Outcome("refused", reason=f"{UNFIT}{destination} is not known to it")
    waits = session.forwarder.waits
    if left := waits.held(_METHOD):
        return Outcome("wait", seconds=left, reason="it has to wait")
    waits.take(_METHOD)
    return None


async def _read(session: HostedSession, destination: int, sought: Sought) -> tuple[list[Any], str]:
    """Return the posts of the time of some sends, by id, and why these are not all.

    One that was deleted while it was the newest is not missed: nothing tells of it.

    Source: core.telegram.org/api/offsets; ids of a channel's messages have no gaps.
    """
    peer = session.peers.input_peer(destination)
    begun = sought.since - _CLOCKS_SECONDS
    found: dict[int, Any] = {}
    first, is_whole = 0, False
    for _ in range(_MOST_PAGES):
        page = await session.client(
            functions.messages.GetHistoryRequest(
                peer=peer,
                offset_id=first,
                offset_date=None,
                add_offset=0,
                limit=_PAGE,
                max_id=0,
                min_id=sought.after,
                hash=0,
            )
        )
        fresh = [
            it
            for it in page.messages
            if it.id > sought.after
            and it.id not in found
            and isinstance(it, types.Message | types.MessageService)
        ]
        found.update({it.id: it for it in fresh if utils.get_peer_id(it.peer_id) == destination})
        if not fresh:
            is_whole = True
            break
        first = min(it.id for it in fresh)
        old = [it for it in fresh if it.date.timestamp() < begun]
        if not sought.after and old:
            is_whole = True
            break
        if first == sought.after + 1:
            is_whole = True
            break
    begin = sought.after + 1
    if not sought.after:
        older = [it.id for it in found.values() if it.date.timestamp() < begun]
        begin = max(older, default=0) + 1
    posts = sorted((it for it in found.values() if it.id >= begin), key=lambda it: it.id)
    end = posts[-1].id if posts else 0
    late = sought.until + _CLOCKS_SECONDS
    if later := [it.id for it in posts if it.date.timestamp() > late]:
        end = later[0] - 1
        posts = [it for it in posts if it.id <= end]
    if not is_whole:
        return posts, f"more than {_PAGE * _MOST_PAGES} posts were made there since"
    if not sought.since:
        return posts, "it is not known when it was asked for"
    count = max(0, end - begin + 1)
    if len(posts) < count:
        return posts, f"{count - len(posts)} of the posts since were deleted"
    return posts, ""


async def _author_of(session: HostedSession, destination: int, copy: int) -> int:
    """Return the account that has made a copy; 0 where that cannot be told."""
    if not copy:
        return 0
    for it in await session.forwarder.read(destination, [copy]):
        return _author(it)
    return 0


def _author(post: Any) -> int:
    author = getattr(post, "from_id", None)
    return int(utils.get_peer_id(author)) if author is not None else 0


def _look_of(post: types.Message) -> Look:
    forwarded = post.fwd_from
    origin = getattr(forwarded, "from_id", None)
    of = None
    if origin is not None and forwarded.channel_post:
        of = int(utils.get_peer_id(origin)), int(forwarded.channel_post)
    return Look(media_kind(post), (post.message or "").strip(), of)


def _wanted(it: Delivery, kind: str) -> Look | None:
    """Return what a copy is like; None for one that could not be recognised."""
    if is_forward(it) and it.mode == "forward":
        return Look("", "", (it.source, it.message)) if is_channel(it.source) else None
    return Look(kind, it.text.strip()) if kind else None
