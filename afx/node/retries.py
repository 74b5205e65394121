"""What is done when dead letters are tried again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from afx.forwarding.pipeline import Delivery
from afx.forwarding.rules import Route, Routes
from afx.node.dead_letters import retried_op
from afx.node.references import Reference
from afx.reasons import DeadReason


def retried(
    routes: Routes,
    rule: int,
    source: int,
    destination: int,
    messages: Iterable[int],
    reason: DeadReason | None,
) -> Iterator[Delivery]:
    """Yield the deliveries of dead letters of a route, to be read when they are made.

    ``reason`` is why they are ones, where that tells what is to be done. A rule that forwards
    each content once judges them anew: it may have forwarded the same one meanwhile.
    """
    rules = {it.rule: it for it in routes.get(source, ())}
    route, op = rules.get(rule, Route(rule, destination, "copy")), retried_op(reason)
    judge = reason is DeadReason.NOT_JUDGED or bool(op == "send" and route.options.dedupe)
    for message in messages:
        yield Reference(rule, route.mode, source, message, judge, op).delivery(destination)
