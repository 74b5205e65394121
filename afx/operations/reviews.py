"""Messages that wait until an operator approves them: looked at, approved, rejected."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from afx.cluster.held_content import HeldPart, decode, name_of
from afx.errors import NotFoundError, SecretError, UsageError
from afx.operations.changes import change
from afx.operations.context import Context, operation
from afx.operations.of_rule import OfRule
from afx.operations.pages import Page, page_of
from afx.operations.task_requests import TaskRequest, submit
from models.base import micros
from models.review_tables import REVIEW_STATES
from models.storage import held_messages, rules
from models.storage.held_messages import Decided

_OF_TASK, _OF_ROUTE = 400, 100
"""Messages of one task, and of one route in it: arguments are bounded."""
_TASK_BYTES, _ROUTE_BYTES, _MESSAGE_BYTES = 28_000, 95, 27
"""Of the arguments of one task, but for an album's end; and of the longest route and message."""
MOST = 1_000
"""Messages of a rule that one request decides about."""


@dataclass(slots=True, frozen=True)
class HeldRow(OfRule):
    """A message of a route that waits for an approval, or did so."""

    id: int
    rule_id: int
    session: str
    name: str
    source: int
    destination: int
    message: int
    """Its id in the source."""
    album: int
    """The same number for all items of an album; 0 for none."""
    state: str
    """``held``, ``approved``, ``released``, ``rejected``, ``expired`` or ``deleted``."""
    text: str
    """What would be sent, after the rule's transforms; empty once it is decided."""
    entities: Sequence[HeldPart]
    media: str
    """What it has besides its text, such as ``photo``."""
    link: str
    """To the source message; empty where there is none."""
    problem: str
    """Why its content cannot be shown, or sent."""
    held_at: datetime
    changed_at: datetime
    """When its content came, by its last edit."""
    expires_at: datetime
    decided_at: datetime | None
    actor: str
    """Who has decided; empty: nobody."""


@dataclass(slots=True, frozen=True)
class HeldCount(OfRule):
    """How many messages of a rule are in a state."""

    rule_id: int
    session: str
    name: str
    state: str
    count: int


@dataclass(slots=True, frozen=True)
class Waiting(OfRule):
    """How many messages of a rule wait for an approval."""

    rule_id: int
    session: str
    name: str
    count: int
    until: int
    """When the newest has changed, in microseconds since 1970: later ones were not seen."""


@dataclass(slots=True, frozen=True)
class Decision:
    """What was decided about messages of one rule."""

    rule: str
    messages: int
    tasks: Sequence[int]
    """They send what was approved."""
    left: bool
    """More of the rule waits: one request decides about so many only."""


@operation("review:read", owned=True)
def listing(
    context: Context,
    *,
    after: int | None = None,
    limit: int = 100,
    rule: str | None = None,
    state: str | None = "held",
) -> Page[HeldRow]:
    """Return held messages with what would be sent, by id; ``state`` None: of all states.

    Raises UsageError for an unknown state.
    """
    owner = context.actor.owner
    found = held_messages.listing(
        after=after,
        limit=limit,
        rule=rules.find(rule, owner=owner).id if rule else None,
        state=_state(state),
        owner=owner,
    )
    shown = [_shown(context, it) for it in found.rows]
    return page_of(HeldRow, type(found)(shown, found.next))


@operation("review:read", owned=True)
def show(context: Context, number: int) -> HeldRow:
    """Return a held message; raises NotFoundError when there is none such."""
    found = held_messages.listing(ids=(number,), owner=context.actor.owner, limit=1).rows
    if not found:
        raise NotFoundError(
            f"There is no held message {number}; 'afx rule review list' shows them."
        )
    return HeldRow(**_shown(context, found[0]))


@dataclass(slots=True, frozen=True)
class Seen:
    """A held message as a dialog shows it, before it is decided about."""

    rule: str
    message: int
    media: str
    text: str
    until: int
    """When its content came, in microseconds since 1970."""


@operation("review:write", owned=True)
def shown_for_change(context: Context, number: int) -> Seen:
    """Return a held message for an actor that decides; its content only where it may read it."""
    found = held_messages.listing(ids=(number,), owner=context.actor.owner, limit=1).rows
    if not found:
        raise NotFoundError(
            f"There is no held message {number}; 'afx rule review list' shows them."
        )
    row = HeldRow(**_shown(context, found[0]))
    may_read = context.actor.may("review:read")
    return Seen(
        row.rule,
        row.message,
        row.media if may_read else "",
        (row.problem or row.text) if may_read else "",
        micros(row.changed_at),
    )


@operation("review:write", owned=True)
def rule_for_change(context: Context, text: str) -> str:
    """Return ``SESSION/NAME`` of a rule, for an actor that decides about its messages."""
    found = rules.find(text, owner=context.actor.owner)
    return f"{found.session.name}/{found.name}"


@operation("review:write", owned=True)
def by_rule(context: Context, ids: Sequence[int]) -> dict[str, list[int]]:
    """Return held messages by the ids of their rules; raises NotFoundError for one of none."""
    found: dict[str, list[int]] = {}
    of_rules = held_messages.rules_of(ids, context.actor.owner)
    for it in ids:
        if it not in of_rules:
            raise NotFoundError(
                f"There is no held message {it}; 'afx rule review list' shows them."
            )
        found.setdefault(str(of_rules[it]), []).append(it)
    return found


@operation("review:read", owned=True)
def counts(context: Context, *, rule: str | None = None) -> list[HeldCount]:
    """Return how many messages each rule, or one, has held, approved, rejected and so on."""
    owner = context.actor.owner
    chosen = rules.find(rule, owner=owner).id if rule else None
    return [HeldCount(**it) for it in held_messages.counts(owner, chosen)]


def _shown(context: Context, row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with its content opened."""
    values = dict(row)
    sealed = values.pop("content")
    values.pop("version")
    shown: dict[str, Any] = {"text": "", "entities": (), "media": "", "link": "", "problem": ""}
    if sealed:
        name = name_of(row["rule_id"], row["source"], row["destination"], row["message"])
        try:
            content = decode(context.servers.vault().open_held(sealed, of=name))
        except (SecretError, ValueError):
            shown["problem"] = "its content cannot be read"
        else:
            shown = {
                "text": content.text,
                "entities": content.parts,
                "media": content.media,
                "link": content.link,
                "problem": content.problem,
            }
    return {**values, **shown}


def _state(text: str | None) -> str:
    if text and text not in REVIEW_STATES:
        raise UsageError(f"A state is one of {', '.join(REVIEW_STATES)}; correct it.")
    return text or ""


@operation("review:read", owned=True)
def waiting(context: Context, *, rule: str | None = None) -> list[Waiting]:
    """Return the rules, or one, of which messages wait for an approval."""
    return _waiting(context, rule)


@operation("review:write", owned=True)
def waiting_for_change(context: Context, rule: str | None = None) -> list[Waiting]:
    """Return what ``waiting`` does, for an actor that decides and need not read contents."""
    return _waiting(context, rule)


def _waiting(context: Context, rule: str | None) -> list[Waiting]:
    owner = context.actor.owner
    chosen = rules.find(rule, owner=owner).id if rule else None
    return [Waiting(**it) for it in held_messages.waiting(owner, chosen)]


@operation("review:write", owned=True)
def approve(
    context: Context, rule: str, *, ids: Sequence[int] = (), until: int | None = None
) -> Decision:
    """Let messages of a rule be sent: all that wait, or some by their ids.

    What is an item of an album is approved with the others of it. ``until`` leaves out what
    has changed after an instant, in microseconds since 1970: what was not seen is not meant.
    Tasks of the rule's session send them, in the order in which they came; it takes the scope
    ``task:write`` as well. Raises NotFoundError where nothing of that waits.
    """
    return _decide(context, rule, "approved", ids, until)


@operation("review:write", owned=True)
def reject(
    context: Context, rule: str, *, ids: Sequence[int] = (), until: int | None = None
) -> Decision:
    """Let messages of a rule never be sent: as ``approve`` otherwise."""
    return _decide(context, rule, "rejected", ids, until)


def _decide(
    context: Context,
    text: str,
    state: Literal["approved", "rejected"],
    ids: Sequence[int],
    until: int | None,
) -> Decision:
    stored = rules.find(text, owner=context.actor.owner)
    path = f"{stored.session.name}/{stored.name}"
    verb = "approve" if state == "approved" else "reject"
    tasks: list[int] = []
    with change(context, f"rule.review.{verb}", f"rule/{path}") as details:
        found = held_messages.decide(
            stored.id, state, actor=context.actor.name, ids=ids, until=until, most=MOST
        )
        missing = sorted(set(ids) - {it.id for it in found})
        if missing:
            raise NotFoundError(
                f"Message {missing[0]} of rule {path} waits for no approval, or has changed since; "
                "'afx rule review list' shows what waits."
            )
        if not found:
            raise NotFoundError(f"No message of rule {path} waits for an approval.")
        for part in _parts(found) if state == "approved" else ():
            request = TaskRequest(
                kind="rule.approve",
                arguments={"rule": stored.id, "routes": part},
                sessions=(str(stored.session_id),),
            )
            tasks += submit(context, request).ids
        details.update(
            {
                "messages": len(found),
                "ids": [it.id for it in found],
                **({"tasks": tasks} if tasks else {}),
            }
        )
        left = not ids and held_messages.waits(stored.id, until)
    return Decision(path, len(found), tuple(tasks), left)


def _parts(found: Sequence[Decided]) -> Iterator[list[dict[str, Any]]]:
    """Return messages as arguments of tasks, each of a bounded size, in their order.

    No album is torn apart.
    """
    routes: list[dict[str, Any]] = []
    count = size = 0
    before: Decided | None = None
    for it in found:
        is_with = before is not None and it.is_with(before)
        if (count >= _OF_TASK or size >= _TASK_BYTES) and not is_with:
            yield routes
            routes, count, size = [], 0, 0
        route = {"source": it.source, "destination": it.destination}
        last = routes[-1] if routes else {}
        is_full = len(last.get("messages", ())) >= _OF_ROUTE and not is_with
        if is_full or {name: last.get(name) for name in route} != route:
            last = {**route, "messages": [], "versions": []}
            routes.append(last)
            size += _ROUTE_BYTES
        size += _MESSAGE_BYTES
        last["messages"].append(it.message)
        last["versions"].append(it.version)
        count, before = count + 1, it
    yield routes
