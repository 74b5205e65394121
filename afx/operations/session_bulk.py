"""Changes of many sessions at once: those that a filter finds, or those that are named."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from afx.errors import UsageError
from afx.operations import sessions
from afx.operations.context import Context, operation
from afx.operations.leader import wake_leader
from afx.operations.requests import Requested
from afx.operations.sessions import SessionFilter
from models.base import transaction
from models.storage import sessions as stored

VERBS = ("pause", "resume", "hibernate", "wake", "move", "remove")
Verb = Literal["pause", "resume", "hibernate", "wake", "move", "remove"]
MOST = 1_000
"""Sessions of one change; ``next`` says where the following one begins."""
AT_ONCE = 20
"""Sessions that are changed in one transaction."""
PAUSE_SECONDS = 0.05
"""Between two transactions: the leader, too, waits for the database."""
_SHOWN = 10


@dataclass(slots=True, frozen=True)
class BulkItem:
    """What came of one session."""

    session: str
    state: str
    """``requested``, ``done`` (there was nothing to wait for) or ``refused``."""
    control: int | None
    note: str


@dataclass(slots=True, frozen=True)
class BulkPlan:
    """Which sessions a change is about, and what is to be done to them."""

    verb: Verb
    node: str
    names: Sequence[str]
    matched: int
    """How many sessions are meant, those before and after these included."""
    next: str | None

    def result(self, items: Sequence[BulkItem], *, dry_run: bool) -> BulkResult:
        """Return what came of it, once it was carried out."""
        return BulkResult(self.verb, self.matched, items, self.next, dry_run)


@dataclass(slots=True, frozen=True)
class BulkResult:
    """What a change of many sessions did, or would do."""

    verb: str
    matched: int
    """How many sessions are meant, those before and after this part included."""
    items: Sequence[BulkItem]
    next: str | None
    """The name to give as ``after`` for the rest; None at the end."""
    dry_run: bool


@dataclass(slots=True, frozen=True)
class BulkPreview:
    """Which sessions a filter finds."""

    matched: int
    first: Sequence[str]
    """A few of their names."""


@operation("session:read", owned=True)
def preview(context: Context, chosen: SessionFilter) -> BulkPreview:
    """Return how many sessions a filter finds, and the first of them."""
    page = sessions.listing(context, chosen, limit=_SHOWN)
    return BulkPreview(_count(context, chosen), tuple(it.name for it in page.rows))


@operation("session:write", owned=True)
def plan(
    context: Context,
    verb: Verb,
    chosen: SessionFilter | None = None,
    *,
    names: Sequence[str] = (),
    everything: bool = False,
    node: str = "",
    limit: int = MOST,
    after: str | None = None,
) -> BulkPlan:
    """Return which sessions a change is about: those of a filter, or some by name.

    At most ``limit``, in the order of their names, from behind ``after``. ``node`` is where
    moved ones go; empty: anywhere. Raises UsageError for a filter that means all sessions,
    unless ``everything`` is said, and for names beside a filter.
    """
    if not 1 <= limit <= MOST:
        raise UsageError(f"One change is of 1 to {MOST} sessions; give another limit.")
    _acting(verb, node)
    by_filter = chosen is not None and chosen != SessionFilter()
    if sum((by_filter, bool(names), everything)) != 1:
        raise UsageError("Say which sessions: by a filter, by their names, or all of them.")
    if names:
        wanted = tuple(dict.fromkeys(names))
        if len(wanted) > limit:
            raise UsageError(f"One change is of at most {limit} sessions; give fewer names.")
        return BulkPlan(verb, node, wanted, len(wanted), None)
    which = chosen or SessionFilter()
    page = sessions.listing(context, which, after=after, limit=limit)
    found = tuple(it.name for it in page.rows)
    return BulkPlan(verb, node, found, _count(context, which), page.next)


@operation("session:write", owned=True)
def carry_out(context: Context, plan: BulkPlan, done: int) -> list[BulkItem]:
    """Change the next few sessions of a plan, in one transaction; ``done`` are changed already."""
    act = _acting(plan.verb, plan.node)
    # Whole names: one of them may be the beginning of another, or look like an id.
    exact = replace(context, exact=True)
    part = plan.names[done : done + AT_ONCE]
    # One commit for many: each would wait for the disk.
    with transaction(keep=not context.dry_run):
        # The leader, too, locks sessions in the order of their ids.
        ids = stored.ids_of(part)
        items = {it: _item(exact, act, it) for it in sorted(part, key=lambda it: ids.get(it, 0))}
    wake_leader(context)
    return [items[it] for it in part]


@operation("session:write", owned=True)
def change(context: Context, plan: BulkPlan) -> BulkResult:
    """Pause, resume, hibernate, wake, move or remove the sessions of a plan.

    Each has its own audit entry and control; one that is refused does not keep the others
    from being changed. In a dry run everything is tried and undone.
    """
    items: list[BulkItem] = []
    while len(items) < len(plan.names):
        if items:
            time.sleep(PAUSE_SECONDS)
        items += carry_out(context, plan, len(items))
    return plan.result(items, dry_run=context.dry_run)


def _acting(verb: Verb, node: str) -> Callable[[Context, str], Requested]:
    if node and verb != "move":
        raise UsageError("Only a move has a node to go to; leave it out.")
    if verb == "move":
        return lambda context, name: sessions.move(context, name, node)
    acts: dict[str, Callable[[Context, str], Requested]] = {
        "pause": sessions.pause,
        "resume": sessions.resume,
        "hibernate": sessions.hibernate,
        "wake": sessions.wake,
        "remove": sessions.remove,
    }
    if verb not in acts:
        raise UsageError(f"There is no change '{verb[:20]}'; use {', '.join(VERBS)}.")
    return acts[verb]


def _item(context: Context, act: Callable[[Context, str], Requested], name: str) -> BulkItem:
    try:
        done = act(context, name)
    except UsageError as error:
        return BulkItem(name, "refused", None, str(error))
    state = "done" if done.control is None else "requested"
    return BulkItem(done.target, state, None if context.dry_run else done.control, done.note)


def _count(context: Context, chosen: SessionFilter) -> int:
    owner = context.actor.owner
    if owner:
        context.require_owner(chosen.user or owner)
        chosen = replace(chosen, user=None)
    return stored.count_matching(chosen, owner=owner)
