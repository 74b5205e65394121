"""Rules: which chats are forwarded, one by one and as whole files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from afx.errors import UsageError
from afx.forwarding import rulefile
from afx.forwarding.rulefile import LARGEST_BYTES, Change, RuleDoc, RuleFile
from afx.forwarding.rules import chat_reference
from afx.operations.changes import change
from afx.operations.context import Context, operation
from afx.operations.pages import Page, every, page_of
from models.names import check_name
from models.storage import rules, sessions
from models.storage.rules import NewRule
from models.tables import Rule, Session

__all__ = ["LARGEST_BYTES", "Change", "RuleDoc"]


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
    created_at: datetime

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
) -> Page[RuleRow]:
    """Return rules with their sessions' names, by id."""
    owner = context.actor.owner
    found = rules.listing(
        after=after,
        limit=limit,
        session=sessions.find(session, owner=owner) if session else None,
        enabled=enabled,
        owner=owner,
    )
    return page_of(RuleRow, found)


@operation("rule:read", owned=True)
def show(context: Context, text: str) -> RuleRow:
    """Return the rule that an id or ``SESSION/NAME`` means."""
    rule = _find(context, text)
    return RuleRow(
        id=rule.id,
        name=rule.name,
        session=rule.session.name,
        sources=rule.sources,
        destinations=rule.destinations,
        mode=rule.mode,
        enabled=rule.enabled,
        created_at=rule.created_at,
    )


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
) -> RuleDoc:
    """Add a rule to a session; returns it as it is stored.

    Raises UsageError for what names no chat, an unknown mode, a taken name.
    """
    origins = list(dict.fromkeys(chat_reference(it) for it in sources))
    targets = list(dict.fromkeys(chat_reference(it) for it in destinations))
    owner = sessions.find(session, owner=context.actor.owner)
    with change(context, "rule.add", f"session/{owner.name}") as details:
        rule = rules.create(owner, origins, targets, mode, name=name)
        doc = _doc(owner.name, rule)
        details.update({"rule": doc.name, "after": _content(doc)})
    return doc


@operation("rule:write", owned=True)
def set_enabled(context: Context, text: str, enabled: bool) -> tuple[str, bool]:
    """Enable or disable a rule; returns (its path, whether that changed it)."""
    rule = _find(context, text)
    path = f"{rule.session.name}/{rule.name}"
    if rule.enabled == enabled:
        return path, False
    action = "rule.enable" if enabled else "rule.disable"
    with change(context, action, f"rule/{path}") as details:
        rules.change(rule, enabled=enabled)
        details.update({"before": {"enabled": not enabled}, "after": {"enabled": enabled}})
    return path, True


@operation("rule:write", owned=True)
def remove(context: Context, text: str) -> str:
    """Remove a rule; returns its path."""
    rule = _find(context, text)
    path = f"{rule.session.name}/{rule.name}"
    with change(context, "rule.remove", f"rule/{path}") as details:
        rules.remove(rule)
        details.update({"rule": rule.name, "before": _content(_doc(rule.session.name, rule))})
    return path


@operation("rule:write", owned=True)
def plan(context: Context, data: bytes, where: str, *, prune: bool) -> list[Change]:
    """Return what a rule file would change; ``prune`` removes what it does not name.

    Only rules of sessions that the file names are removed. InputFileError lists all
    errors of the file: its form, and sessions and names that do not fit what is stored.
    """
    file = rulefile.read(data, where)
    owners = _owners(context, file)
    for name, line in file.names.items():
        try:
            check_name("rule", name)
        except UsageError as error:
            file.problems.add(str(error).rstrip("."), line, field="name")
    docs: dict[str, RuleDoc] = {}
    lines: dict[str, int] = {}
    for it in file.rules:
        if it.session not in owners:
            continue
        doc = rulefile.renamed(it, owners[it.session].name)
        line = file.lines[it.path]
        if doc.path in docs:
            file.problems.add(
                f"rule '{doc.path}' is there already, in line {lines[doc.path]}", line
            )
        docs[doc.path], lines[doc.path] = doc, line
    file.problems.check()
    sessions_of_file = {it.id: it for it in owners.values()}
    before = _stored(list(sessions_of_file.values()))
    return rulefile.diff(list(docs.values()), before, prune=prune)


@operation("rule:write", owned=True)
def apply(context: Context, changes: Sequence[Change], where: str) -> None:
    """Make a plan's changes, all or none."""
    owners = {
        name: sessions.find(name, owner=context.actor.owner)
        for name in dict.fromkeys(_session_of(it) for it in changes)
    }
    with change(context, "rule.apply", where[:200]) as details:
        for it in changes:
            if it.before:
                _replace(rules.find(it.before.path), it.after)
        rules.create_many(
            [
                NewRule(
                    owners[it.after.session].id,
                    it.after.name,
                    list(it.after.sources),
                    list(it.after.destinations),
                    it.after.mode,
                    it.after.enabled,
                )
                for it in changes
                if it.after and not it.before
            ]
        )
        for kind in ("add", "change", "remove"):
            details[kind] = [_recorded(it) for it in changes if it.kind == kind]


@operation("rule:read", owned=True)
def export(context: Context, session: str | None = None) -> Iterator[str]:
    """Yield a file of the rules of a session, or of all, a rule at a time."""

    def page(after: Any, limit: int) -> Page[RuleRow]:
        return listing(context, after=after, limit=limit, session=session)

    return rulefile.dump(
        RuleDoc(it.session, it.name, tuple(it.sources), tuple(it.destinations), it.mode, it.enabled)
        for it in every(page)
    )


def _find(context: Context, text: str) -> Rule:
    return rules.find(text, owner=context.actor.owner)


def _replace(rule: Rule, doc: RuleDoc | None) -> None:
    """Give a stored rule the content of a file's rule; None removes it."""
    if doc is None:
        rules.remove(rule)
        return
    rules.change(
        rule,
        sources=list(doc.sources),
        destinations=list(doc.destinations),
        mode=doc.mode,
        enabled=doc.enabled,
    )


def _session_of(it: Change) -> str:
    doc = it.after or it.before
    assert doc is not None
    return doc.session


def _owners(context: Context, file: RuleFile) -> dict[str, Session]:
    """Return the sessions that a file names; notes those that do not exist."""
    owners: dict[str, Session] = {}
    for name, line in file.sessions.items():
        try:
            owners[name] = sessions.find(name, owner=context.actor.owner)
        except UsageError as error:
            file.problems.add(str(error).rstrip("."), line, field="session")
    return owners


def _stored(owners: Sequence[Session]) -> list[RuleDoc]:
    """Return all rules of sessions."""
    names = {it.id: it.name for it in owners}
    found = rules.for_sessions(list(names), enabled=False)
    return [_doc(names[owner], rule) for owner, rows in found.items() for rule in rows]


def _doc(session: str, rule: Rule) -> RuleDoc:
    return RuleDoc(
        session, rule.name, tuple(rule.sources), tuple(rule.destinations), rule.mode, rule.enabled
    )


def _recorded(it: Change) -> dict[str, Any]:
    """Return a change as the audit log keeps it: the old and the new rule."""
    return {
        "rule": it.path,
        **({"before": _content(it.before)} if it.before else {}),
        **({"after": _content(it.after)} if it.after else {}),
    }


def _content(doc: RuleDoc) -> dict[str, Any]:
    return {
        "from": list(doc.sources),
        "to": list(doc.destinations),
        "mode": doc.mode,
        "enabled": doc.enabled,
    }
