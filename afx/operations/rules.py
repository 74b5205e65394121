"""Acts on rules, one by one and as whole files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from afx.errors import UsageError
from afx.forwarding import rulefile
from afx.forwarding.rulefile import Change, RuleDoc, RuleFile
from afx.forwarding.rules import chat_reference
from afx.operations.change import Operator, change
from models import paging
from models.names import check_name
from models.paging import Page
from models.storage import rules, sessions
from models.storage.rules import NewRule
from models.tables import Rule, Session


def add(
    operator: Operator,
    session: str,
    sources: Sequence[str],
    destinations: Sequence[str],
    mode: str,
    name: str = "",
) -> RuleDoc:
    """Add a rule to a session; returns it as it is stored.

    Raises UsageError for what names no chat, an unknown mode, a taken name.
    """
    origins = list(dict.fromkeys(chat_reference(it) for it in sources))
    targets = list(dict.fromkeys(chat_reference(it) for it in destinations))
    owner = sessions.find(session)
    with change(operator, "rule.add", f"session/{owner.name}") as details:
        rule = rules.create(owner, origins, targets, mode, name=name)
        doc = _doc(owner.name, rule)
        details.update(_told(doc))
    return doc


def set_enabled(operator: Operator, text: str, enabled: bool) -> tuple[str, bool]:
    """Enable or disable a rule; returns (its path, whether that changed it)."""
    rule = rules.find(text)
    path = f"{rule.session.name}/{rule.name}"
    if rule.enabled == enabled:
        return path, False
    with change(operator, "rule.enable" if enabled else "rule.disable", f"rule/{path}"):
        rules.change(rule, enabled=enabled)
    return path, True


def remove(operator: Operator, text: str) -> str:
    """Remove a rule; returns its path."""
    rule = rules.find(text)
    path = f"{rule.session.name}/{rule.name}"
    with change(operator, "rule.remove", f"rule/{path}") as details:
        rules.remove(rule)
        details.update(_told(_doc(rule.session.name, rule)))
    return path


def plan(data: bytes, where: str, *, prune: bool) -> list[Change]:
    """Return what a rule file would change; ``prune`` removes what it does not name.

    Only rules of sessions that the file names are removed. InputFileError lists all
    errors of the file: its form, and sessions and names that do not fit what is stored.
    """
    file = rulefile.read(data, where)
    owners = _owners(file)
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
    return rulefile.diff(list(docs.values()), stored(list(sessions_of_file.values())), prune=prune)


def _owners(file: RuleFile) -> dict[str, Session]:
    """Return the sessions that a file names; notes those that do not exist."""
    owners: dict[str, Session] = {}
    for name, line in file.sessions.items():
        try:
            owners[name] = sessions.find(name)
        except UsageError as error:
            file.problems.add(str(error).rstrip("."), line, field="session")
    return owners


def apply(operator: Operator, changes: Sequence[Change], where: str) -> None:
    """Make a plan's changes, all or none."""
    with change(operator, "rule.apply", where[:200]) as details:
        for it in changes:
            owner = sessions.find((it.after or it.before).session)  # type: ignore[union-attr]
            held = it.before and rules.find(f"{owner.name}/{it.before.name}")
            if it.kind == "remove":
                rules.remove(held)  # type: ignore[arg-type]
            elif it.kind == "change":
                assert it.after is not None
                rules.change(
                    held,  # type: ignore[arg-type]
                    sources=list(it.after.sources),
                    destinations=list(it.after.destinations),
                    mode=it.after.mode,
                    enabled=it.after.enabled,
                )
        added = [it.after for it in changes if it.kind == "add" and it.after]
        ids = {name: sessions.find(name).id for name in dict.fromkeys(it.session for it in added)}
        rules.create_many(
            [
                NewRule(
                    ids[it.session],
                    it.name,
                    list(it.sources),
                    list(it.destinations),
                    it.mode,
                    it.enabled,
                )
                for it in added
            ]
        )
        for kind in ("add", "change", "remove"):
            details[kind] = [it.path for it in changes if it.kind == kind]


def stored(owners: Sequence[Session]) -> list[RuleDoc]:
    """Return all rules of sessions."""
    names = {it.id: it.name for it in owners}
    found = rules.for_sessions(list(names), enabled=False)
    return [_doc(names[owner], rule) for owner, held in found.items() for rule in held]


def export(session: Session | None) -> Iterator[RuleDoc]:
    """Yield the rules of a session, or of all, in constant memory."""

    def page(after: Any, limit: int) -> Page:
        return rules.listing(after=after, limit=limit, session=session)

    every: Callable[..., Iterator[dict[str, Any]]] = paging.every
    for it in every(page):
        yield RuleDoc(
            it["session"],
            it["name"],
            tuple(it["sources"]),
            tuple(it["destinations"]),
            it["mode"],
            it["enabled"],
        )


def _doc(session: str, rule: Rule) -> RuleDoc:
    return RuleDoc(
        session, rule.name, tuple(rule.sources), tuple(rule.destinations), rule.mode, rule.enabled
    )


def _told(doc: RuleDoc) -> dict[str, Any]:
    return {
        "rule": doc.name,
        "from": list(doc.sources),
        "to": list(doc.destinations),
        "mode": doc.mode,
        "enabled": doc.enabled,
    }
