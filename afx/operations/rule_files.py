"""Rules as whole files: what a file would change, applying it, exporting one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from afx.errors import UsageError
from afx.forwarding import rule_docs, rulefile
from afx.forwarding.rule_docs import Change, RuleDoc
from afx.forwarding.rulefile import LARGEST_BYTES, RuleFile, read_part, schema
from afx.operations.changes import change
from afx.operations.context import Context, operation
from afx.operations.pages import Page, every
from afx.operations.rule_options import check_life, check_senders
from afx.operations.rule_sizes import bounded
from afx.operations.rules import RuleRow, content, document, listing, show
from models.names import check_name
from models.storage import rules, sessions
from models.storage.rules import NewRule
from models.tables import Rule, Session

__all__ = ["LARGEST_BYTES", "Change", "RuleDoc", "read_part", "schema"]


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
        doc = rule_docs.renamed(it, owners[it.session].name)
        line = file.lines[it.path]
        if doc.path in docs:
            file.problems.add(
                f"rule '{doc.path}' is there already, in line {lines[doc.path]}", line
            )
        docs[doc.path], lines[doc.path] = doc, line
    file.problems.check()
    sessions_of_file = {it.id: it for it in owners.values()}
    before = _stored(list(sessions_of_file.values()))
    found = rule_docs.diff(list(docs.values()), before, prune=prune)
    _check(context, found)
    return found


@operation("rule:write", owned=True)
def apply(context: Context, changes: Sequence[Change], where: str) -> None:
    """Make a plan's changes, all or none.

    Raises UsageError when a rule is not as the plan has it: another change was made
    since, and this one would undo it.
    """
    _check(context, changes)
    owners = {
        name: sessions.find(name, owner=context.actor.owner)
        for name in dict.fromkeys(_session_of(it) for it in changes)
    }
    with change(context, "rule.apply", where[:200]) as details, bounded(list(owners.values())):
        for it in changes:
            if it.before:
                _replace(context, it.before, it.after)
        rules.create_many(
            [
                NewRule(
                    owners[it.after.session].id,
                    it.after.name,
                    list(it.after.sources),
                    list(it.after.destinations),
                    it.after.mode,
                    it.after.enabled,
                    dict(it.after.filter),
                    list(it.after.transform),
                    list(it.after.sync),
                    dict(it.after.options),
                )
                for it in changes
                if it.after and not it.before
            ]
        )
        for kind in ("add", "change", "remove"):
            details[kind] = [_recorded(it) for it in changes if it.kind == kind]


@operation("rule:read", owned=True, database=False)
def show_schema(context: Context) -> Mapping[str, Any]:
    """Return the JSON Schema of rule files."""
    del context
    return schema()


@operation("rule:read", owned=True)
def export(context: Context, session: str | None = None) -> Iterator[str]:
    """Yield a file of the rules of a session, or of all, a rule at a time."""

    def page(after: Any, limit: int) -> Page[RuleRow]:
        return listing(context, after=after, limit=limit, session=session)

    return rule_docs.dump(_doc(it) for it in every(page))


@operation("rule:read", owned=True)
def export_one(context: Context, text: str) -> str:
    """Return a file of one rule, by id or ``SESSION/NAME``."""
    return "".join(rule_docs.dump([_doc(show(context, text))]))


@operation("rule:read", owned=True)
def path_of(context: Context, text: str) -> str:
    """Return the ``SESSION/NAME`` of a rule."""
    return show(context, text).path


def _doc(it: RuleRow) -> RuleDoc:
    return RuleDoc(
        it.session,
        it.name,
        tuple(it.sources),
        tuple(it.destinations),
        it.mode,
        it.enabled,
        it.filter,
        tuple(it.transform),
        tuple(it.sync),
        it.options,
    )


def _check(context: Context, changes: Iterable[Change]) -> None:
    for it in changes:
        if it.after and not (it.before and it.before.options == it.after.options):
            check_life(context, it.after.options)
        if it.after and it.after.options.get("senders"):
            owner = sessions.find(it.after.session, owner=context.actor.owner)
            check_senders(owner, it.after.options, it.after.destinations)


def _replace(context: Context, before: RuleDoc, doc: RuleDoc | None) -> None:
    """Give a stored rule the content of a file's rule; None removes it."""
    rule: Rule = rules.find(before.path, owner=context.actor.owner)
    if document(rule.session.name, rule) != before:
        raise UsageError(
            f"Rule '{before.path}' was changed meanwhile; nothing was changed. Try again."
        )
    if doc is None:
        rules.remove(rule)
        return
    rules.change(
        rule,
        sources=list(doc.sources),
        destinations=list(doc.destinations),
        mode=doc.mode,
        enabled=doc.enabled,
        filter=dict(doc.filter),
        transform=list(doc.transform),
        sync=list(doc.sync),
        options=dict(doc.options),
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
    return [document(names[owner], rule) for owner, rows in found.items() for rule in rows]


def _recorded(it: Change) -> dict[str, Any]:
    """Return a change as the audit log keeps it: the old and the new rule."""
    return {
        "rule": it.path,
        **({"before": content(it.before)} if it.before else {}),
        **({"after": content(it.after)} if it.after else {}),
    }
