"""Decides which new messages of a session's sources go on to its lanes, and by which routes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from afx.empty import NONE, NOTHING
from afx.forwarding.pipeline import Incoming
from afx.forwarding.rules import Route, Routes, in_topic
from afx.node.admission import Admission
from afx.node.alerts import Alerts
from afx.node.filter_judge import FilterJudge
from afx.node.held import is_reread, to_be_reread
from afx.node.loops import Loops
from afx.node.rule_counts import RuleCounts
from afx.telegram.boxes import Box, Settling


class Intake:
    """Takes the new messages of one session, box by box in their order."""

    __slots__ = (
        "_admission",
        "_alerts",
        "_counts",
        "_filters",
        "_loops",
        "_progressed",
        "_simple",
        "_skipped",
        "routes",
    )

    def __init__(
        self,
        progressed: Callable[[], None],
        admission: Admission,
        filters: FilterJudge,
        loops: Loops,
        counts: RuleCounts,
        alerts: Alerts,
    ) -> None:
        """``progressed`` is told when there is something to commit."""
        self._progressed = progressed
        self._admission = admission
        self._filters = filters
        self._loops = loops
        self._counts = counts
        self._alerts = alerts
        self.routes: Routes = NOTHING
        """By which it forwards."""
        self._simple: frozenset[int] = NONE
        """Sources of which no route asks for a topic, or for a message as it is later."""
        self._skipped: Mapping[int, int] = NOTHING

    def use_routes(self, routes: Routes) -> None:
        """Forward by these routes from now on."""
        self.routes = routes
        self._simple = frozenset(
            chat
            for chat, them in routes.items()
            if not any(it.topics or it.options.reread for it in them)
        )
        self._filters.use_routes(routes)

    def skip_until(self, chat: int, message: int) -> None:
        """Forward from a chat only what is newer than this message."""
        self._skipped = {**self._skipped, chat: message}

    def take(self, box: Box, pts: int, message: Incoming | None, own: bool) -> None:
        """Take the next update of a box; ``own`` is what the session itself has sent."""
        routes: Sequence[Route] = ()
        if message and not own:
            routes = self.routes.get(message.chat, ())
        if message and routes and self._loops.is_copy(message):
            routes = ()
        if message and self._skipped and message.id <= self._skipped.get(message.chat, 0):
            routes = ()
        judged: Sequence[Route] | None = routes
        if message and routes:
            if message.chat not in self._simple:
                routes = in_topic(message.raw, routes)
            self._alerts.note(message, routes)
            if message.chat not in self._simple:
                routes = to_be_reread(routes)
            judged = self._judge(message, routes) if routes else ()
            if judged is not None and len(judged) < len(routes):
                self._counts.skipped(routes, judged)
            if judged is not None and not judged:
                # Settled without a link. Its chat's newest id passes it too: another filter,
                # later, does not make it be forwarded.
                self._leave(box, pts, message.chat, message.id)
                return
        if not routes or message is None:
            self._leave(box, pts)
            return
        is_judged, wanted = judged is not None, routes if judged is None else judged
        ticket = box.admit(pts, len(wanted), message.chat, message.id)
        ticket.taken = self._counts.now()
        self._admission.offer(message, wanted, ticket, is_judged=is_judged)

    def advance(self, box: Settling) -> None:
        """Move past what is settled, and let that be stored."""
        if box.advance():
            self._progressed()

    def _leave(self, box: Box, pts: int, chat: int = 0, message: int = 0) -> None:
        """Pass an update that causes no forward."""
        if box.leave(pts, chat, message):
            self._progressed()

    def _judge(self, message: Incoming, routes: Sequence[Route]) -> Sequence[Route] | None:
        """Return the routes that take a message now, or later; None: they are to be asked later."""
        if message.chat in self._simple:
            return self._filters.judge(message, routes)
        asked = [it for it in routes if not is_reread(it)]
        if len(asked) == len(routes):
            return self._filters.judge(message, routes)
        taken = self._filters.judge(message, asked) if asked else ()
        return None if taken is None else [*taken, *filter(is_reread, routes)]

    async def judge(self, message: Incoming, routes: Sequence[Route]) -> Sequence[Route]:
        """Return the routes whose filters take a message, once they can be asked."""
        asked, rest = [it for it in routes if not is_reread(it)], filter(is_reread, routes)
        taken = [*(await self._filters.judge_later(message, asked) if asked else ()), *rest]
        if len(taken) < len(routes):
            self._counts.skipped(routes, taken)
        return taken
