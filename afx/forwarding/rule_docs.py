"""A rule as a file has it; what differs between such rules; and writing them.

``rulefile`` reads them. Commands that only read rules know their form from here: what writes
files is imported when one is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal


@dataclass(slots=True, frozen=True)
class RuleDoc:
    """One rule as a file has it."""

    session: str
    name: str
    sources: tuple[str, ...]
    destinations: tuple[str, ...]
    mode: str = "copy"
    enabled: bool = True
    filter: Mapping[str, Any] = field(default_factory=dict)
    """Which messages it forwards; empty takes all."""
    transform: Sequence[Mapping[str, Any]] = ()
    """What it changes of its copies, one after another."""
    sync: tuple[str, ...] = ()
    """What it follows in its copies: edits, deletes, pins, topics."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """What else it does; times are in seconds."""

    @property
    def path(self) -> str:
        """``SESSION/NAME``, which identifies a rule for people."""
        return f"{self.session}/{self.name}"


@dataclass(slots=True, frozen=True)
class Change:
    """One difference between a file and what is stored."""

    kind: Literal["add", "change", "remove"]
    before: RuleDoc | None
    after: RuleDoc | None

    @property
    def path(self) -> str:
        """The rule's ``SESSION/NAME``."""
        rule = self.after or self.before
        assert rule is not None
        return rule.path


def diff(wanted: Sequence[RuleDoc], stored: Iterable[RuleDoc], *, prune: bool) -> list[Change]:
    """Return what makes the stored rules those of the file, in the file's order.

    With ``prune``, stored rules that the file does not name are removed.
    """
    before = {it.path: it for it in stored}
    changes = [
        Change("change" if it.path in before else "add", before.get(it.path), it)
        for it in wanted
        if before.get(it.path) != it
    ]
    if prune:
        named = {it.path for it in wanted}
        changes += [Change("remove", it, None) for path, it in before.items() if path not in named]
    return changes


def dump(rules: Iterable[RuleDoc]) -> Iterator[str]:
    """Yield a rule file in YAML, a rule at a time; ``parse`` reads it back."""
    import yaml

    from afx.forwarding.options import shown_options

    empty = True
    for it in rules:
        if empty:
            yield "rules:\n"
            empty = False
        document = [
            {
                "session": it.session,
                "name": it.name,
                "from": list(it.sources),
                "to": list(it.destinations),
                "mode": it.mode,
                "enabled": it.enabled,
                **({"filter": it.filter} if it.filter else {}),
                **({"transform": list(it.transform)} if it.transform else {}),
                **({"sync": list(it.sync)} if it.sync else {}),
                **({"options": shown_options(it.options)} if it.options else {}),
            }
        ]
        yield yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=1000)
    if empty:
        yield "rules: []\n"


def renamed(doc: RuleDoc, session: str) -> RuleDoc:
    """Return a rule under its session's full name."""
    return replace(doc, session=session)
