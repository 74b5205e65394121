"""Rules, one by one: which chats are forwarded, and where to.

What checks conditions, transforms and options takes long to import: a list of rules does without.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from afx.errors import UsageError
from afx.forwarding.outputs import target_of
from afx.forwarding.rule_docs import RuleDoc
from afx.forwarding.topics import wrong_destinations
from afx.operations.changes import change
from afx.operations.context import Context, operation
from afx.operations.pages import Page, page_of
from afx.operations.rule_options import check_life, check_senders
from afx.operations.rule_senders import with_troubles
from afx.operations.rule_sizes import bounded
from models.storage import rules, sessions
from models.tables import Rule


@dataclass(slots=True, frozen=True)
class RuleRow:
    """One rule as it is stored."""

    id: int
    name: str
    session: str
    sources: Sequence[str]
    destinations: Sequence[str]
    mode: str
    enabled: bool
    filter: Mapping[str, Any]
    """Which messages it forwards; empty takes all."""
    transform: Sequence[Mapping[str, Any]]
    """What it changes of its copies."""
    sync: Sequence[str]
    """What it follows in its copies: edits, deletes, pins, topics."""
    options: Mapping[str, Any]
    """What else it does; times are in seconds."""
    created_at: datetime
    trouble: str
    """Why it does not forward all that it should; empty when it does."""

    @property
    def path(self) -> str:
        """``SESSION/NAME``, by which people know it."""
        return f"{self.session}/{self.name}"


@operation("rule:read", owned=True)
def listing(
    context: Context,
    *,
    after: int | None = None,
    limit: int = 100,
    session: str | None = None,
    enabled: bool | None = None,
    sort: str = "id",
) -> Page[RuleRow]:
    """Return rules with their sessions' names, by id."""
    owner = context.actor.owner
    found = rules.listing(
        after=after,
        limit=limit,
        session=sessions.find(session, owner=owner) if session else None,
        enabled=enabled,
        owner=owner,
        sort=sort,
    )
    page = page_of(RuleRow, found)
    return Page(tuple(with_troubles(page.rows)), page.next)


@operation("rule:read", owned=True)
def show(context: Context, text: str) -> RuleRow:
    """Return the rule that an id or ``SESSION/NAME`` means."""
    rule = _find(context, text)
    row = RuleRow(
        id=rule.id,
        name=rule.name,
        session=rule.session.name,
        sources=rule.sources,
        destinations=rule.destinations,
        mode=rule.mode,
        enabled=rule.enabled,
        filter=rule.filter,
        transform=rule.transform,
        sync=rule.sync,
        options=rule.options,
        created_at=rule.created_at,
        trouble=rule.trouble,
    )
    return with_troubles([row])[0]


@operation("rule:read")
def names_beginning(context: Context, prefix: str) -> list[str]:
    """Return a few rules as ``SESSION/NAME`` that begin with a text."""
    del context
    return rules.paths_beginning(prefix)


@operation("rule:write", owned=True)
def add(
    context: Context,
    session: str,
    *,
    sources: Sequence[str],
    destinations: Sequence[str],
    mode: str = "copy",
    name: str = "",
    filter: Mapping[str, Any] | None = None,
    transform: Sequence[Any] | None = None,
    sync: Sequence[str] | None = None,
    options: Mapping[str, Any] | None = None,
) -> RuleDoc:
    """Add a rule to a session; returns it as it is stored.

    Raises UsageError for what names no chat, an unknown mode, a taken name, and for what
    is no filter or transform, or cannot be followed.
    """
    from afx.forwarding.rulefile import checked, checked_options, checked_sync

    wanted, changes = checked(filter, transform, mode, "the rule")
    followed = checked_sync(sync, mode, "the rule")
    more = checked_options(options, "the rule")
    check_life(context, more)
    origins, targets = list(_chats(sources)), list(_destinations(destinations))
    owner = sessions.find(session, owner=context.actor.owner)
    check_senders(owner, more, targets)
    with change(context, "rule.add", f"session/{owner.name}") as details, bounded([owner]):
        rule = rules.create(
            owner,
            origins,
            targets,
            mode,
            name=name,
            filter=wanted,
            transform=changes,
            sync=followed,
            options=more,
        )
        doc = document(owner.name, rule)
        details.update({"rule": doc.name, "after": content(doc)})
    return doc


@operation("rule:write", owned=True)
def modify(
    context: Context,
    text: str,
    *,
    sources: Sequence[str] | None = None,
    destinations: Sequence[str] | None = None,
    mode: str | None = None,
    filter: Mapping[str, Any] | None = None,
    transform: Sequence[Any] | None = None,
    sync: Sequence[str] | None = None,
    options: Mapping[str, Any] | None = None,
    enabled: bool | None = None,
) -> tuple[RuleDoc, bool]:
    """Change the given fields of a rule; returns (it as it is then, whether that differs).

    An empty filter takes all messages. Raises UsageError as ``add`` does, and when nothing
    is given.
    """
    from afx.forwarding.rulefile import checked, checked_options, checked_sync

    given = (sources, destinations, mode, filter, transform, sync, options, enabled)
    if all(it is None for it in given):
        raise UsageError("Nothing is to be changed; give a field, such as the filter.")
    rule = _find(context, text)
    before = document(rule.session.name, rule)
    wanted, changes = checked(
        rule.filter if filter is None else filter,
        rule.transform if transform is None else transform,
        mode or rule.mode,
        "the rule",
    )
    followed = checked_sync(rule.sync if sync is None else sync, mode or rule.mode, "the rule")
    more = checked_options(rule.options if options is None else options, "the rule")
    if options is not None:
        check_life(context, more)
    after = replace(
        before,
        sources=_chats(sources) if sources else before.sources,
        destinations=_destinations(destinations) if destinations else before.destinations,
        mode=mode or before.mode,
        filter=wanted,
        transform=tuple(changes),
        sync=tuple(followed),
        options=more,
        enabled=before.enabled if enabled is None else enabled,
    )
    if after == before:
        return after, False
    if options is not None or destinations:
        check_senders(rule.session, more, after.destinations)
    with change(context, "rule.set", f"rule/{before.path}") as details, bounded([rule.session]):
        rules.change(
            rule,
            sources=list(after.sources),
            destinations=list(after.destinations),
            mode=after.mode,
            filter=wanted,
            transform=changes,
            sync=followed,
            options=more,
            enabled=after.enabled,
        )
        details.update({"before": content(before), "after": content(after)})
    return after, True


@operation("rule:write", owned=True)
def set_enabled(context: Context, text: str, enabled: bool) -> tuple[str, bool]:
    """Enable or disable a rule; returns (its path, whether that changed it)."""
    rule = _find(context, text)
    path = f"{rule.session.name}/{rule.name}"
    if rule.enabled == enabled:
        return path, False
    action = "rule.enable" if enabled else "rule.disable"
    with change(context, action, f"rule/{path}") as details, bounded([rule.session]):
        rules.change(rule, enabled=enabled)
        details.update({"before": {"enabled": not enabled}, "after": {"enabled": enabled}})
    return path, True


@dataclass(slots=True, frozen=True)
class OutputSecret:
    """A webhook among a rule's destinations, and what its requests are signed by."""

    destination: str
    secret: str


@operation("rule:write", owned=True)
def output_secrets(context: Context, text: str) -> list[OutputSecret]:
    """Return the secrets of the webhooks to which a rule sends; the audit log has who asked."""
    rule = _find(context, text)
    vault = context.servers.vault()
    found = [it for it in rule.destinations if it.startswith("webhook:")]
    path = f"{rule.session.name}/{rule.name}"
    with change(context, "rule.secret", f"rule/{path}") as details:
        details["destinations"] = found
        return [
            OutputSecret(it, vault.output_secrets(rule.session_id, target_of(it).place)[0])
            for it in found
        ]


@operation("rule:write", owned=True)
def remove(context: Context, text: str) -> str:
    """Remove a rule; returns its path."""
    rule = _find(context, text)
    path = f"{rule.session.name}/{rule.name}"
    from afx.operations import doubts  # few rules have any, and redis takes long to import

    has_pool = bool(rule.options.get("senders"))
    lost = doubts.listing_if_running(context, str(rule.id)) if has_pool else []
    with change(context, "rule.remove", f"rule/{path}") as details:
        if lost:  # nobody decides them any more
            details.update({"doubts": [doubts.content(it) for it in lost]})
        rules.remove(rule)
        details.update({"rule": rule.name, "before": content(document(rule.session.name, rule))})
    return path


def _chats(texts: Sequence[str]) -> tuple[str, ...]:
    from afx.forwarding.rules import chat_reference

    return tuple(dict.fromkeys(chat_reference(it) for it in texts))


def _destinations(texts: Sequence[str]) -> tuple[str, ...]:
    from afx.forwarding.rules import destination_reference

    found = tuple(dict.fromkeys(destination_reference(it) for it in texts))
    if wrong := wrong_destinations(found):
        raise UsageError(f"In the rule {wrong}.")
    return found


def _find(context: Context, text: str) -> Rule:
    return rules.find(text, owner=context.actor.owner)


def document(session: str, rule: Rule) -> RuleDoc:
    """Return a stored rule as a file says it."""
    return RuleDoc(
        session,
        rule.name,
        tuple(rule.sources),
        tuple(rule.destinations),
        rule.mode,
        rule.enabled,
        rule.filter,
        tuple(rule.transform),
        tuple(rule.sync),
        rule.options,
    )


def content(doc: RuleDoc) -> dict[str, Any]:
    """Return a rule as the audit log keeps it."""
    return {
        "from": list(doc.sources),
        "to": list(doc.destinations),
        "mode": doc.mode,
        "enabled": doc.enabled,
        **({"filter": doc.filter} if doc.filter else {}),
        **({"transform": list(doc.transform)} if doc.transform else {}),
        **({"sync": list(doc.sync)} if doc.sync else {}),
        **({"options": doc.options} if doc.options else {}),
    }
