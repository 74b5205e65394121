"""Rules looked at: what they would do with a message, and what is odd about them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from afx.errors import UsageError
from afx.forwarding import graph, saved, trial
from afx.forwarding.buttons import compile_buttons
from afx.forwarding.facts import Facts
from afx.forwarding.options import sentences
from afx.forwarding.plugin_options import compile_plugins
from afx.forwarding.rule_docs import Change
from afx.forwarding.saved import LARGEST_BYTES
from afx.forwarding.topics import shown_topic
from afx.forwarding.trial import Button, Part
from afx.operations.context import Context, operation
from afx.operations.pages import Page, every
from afx.operations.rule_senders import posting
from afx.operations.rules import RuleRow, listing, show
from afx.plugins.trial import PluginTrial
from models.storage import rules, sessions

__all__ = ["LARGEST_BYTES", "Button", "Part"]

_BOT = (
    "is a bot: it sees a channel as an admin only, in a group all messages only as an admin or "
    "without privacy mode, nothing that other bots post, and it cannot join a chat by itself"
)


@dataclass(slots=True, frozen=True)
class Tried:
    """What one rule does with a message."""

    rule: str
    enabled: bool
    mode: str
    forwards: bool
    decided: str
    changed: bool
    text: str
    entities: Sequence[Part]
    buttons: Sequence[Button]
    """Those with links that a bot sends on; people cannot."""
    problem: str
    """Why it cannot be tried here; empty when it was."""


@dataclass(slots=True, frozen=True)
class Explained:
    """A rule in words."""

    rule: str
    sentences: Sequence[str]
    warnings: Sequence[str]


@operation("rule:read", owned=True)
def test(
    context: Context,
    *,
    text: str | None = None,
    message: bytes | None = None,
    rule: str = "",
    session: str | None = None,
) -> list[Tried]:
    """Return what a rule, or each rule of a session or of all, does with a message.

    Give a ``text``, or a ``message`` as JSON. Nothing is sent. Raises UsageError for what
    is no message. Plug-ins are called only for one ``rule``, on this machine.
    """
    if (text is None) == (message is None):
        raise UsageError("Give a text or a saved message, and not both.")
    if text is not None:
        facts = saved.typed(text, now=datetime.now(UTC))
    else:
        assert message is not None
        facts = saved.read(message)
    rows = [show(context, rule)] if rule else _rows(context, session)
    return [_tried(it, facts, with_plugins=bool(rule)) for it in rows]


@operation("rule:read", owned=True)
def explain(context: Context, text: str) -> Explained:
    """Return a rule in words: what it forwards, what it changes, what is odd about it."""
    row = show(context, text)
    words = in_words(row)
    if row.options.get("senders"):
        words += posting(context.servers, row.id, row.destinations)
    return Explained(row.path, words, _warnings(context, {row.path}, {}))


def in_words(row: RuleRow) -> list[str]:
    """Return what a rule does, in sentences."""
    word = "all messages" if not row.filter else "messages"
    shows = "shows who wrote them" if row.mode == "forward" else "does not show who wrote them"
    found = [
        f"{'Forwards' if row.enabled else 'Is disabled; would forward'} {word} of "
        f"{', '.join(map(shown_topic, row.sources))} to "
        f"{', '.join(map(shown_topic, row.destinations))}, and {shows}."
    ]
    if row.filter:
        found += ["Only if all of this is true:", *trial.described(row.filter, 1)]
    if row.transform:
        found.append("Then changes the copy, in this order:")
        found += [
            f"  {number}. {name}: {trial.shown(value)}"
            for number, it in enumerate(row.transform, 1)
            for name, value in it.items()
        ]
    if row.sync:
        found.append(f"The copies follow {', '.join(row.sync)}.")
    found += sentences(row.options)
    if row.trouble:
        found.append(f"Trouble: {row.trouble}")
    return found


@operation("rule:read", owned=True)
def warnings(context: Context, paths: Collection[str], changes: Sequence[Change] = ()) -> list[str]:
    """Return what is odd about rules, by ``SESSION/NAME``, among all rules of all sessions.

    ``changes`` are counted as if they had been made.
    """
    return _warnings(context, set(paths), {it.path: it for it in changes})


def _warnings(context: Context, paths: set[str], changes: Mapping[str, Change]) -> list[str]:
    found = graph.warnings(_edges(context, changes), paths)
    return [*found, *(f"session '{it}' {_BOT}" for it in _bots(paths))]


def _bots(paths: Collection[str]) -> list[str]:
    """Return the sessions of some rules that are bots."""
    return sorted(sessions.bots_among(sorted({it.partition("/")[0] for it in paths})))


def _edges(context: Context, changes: Mapping[str, Change]) -> Iterator[graph.Edge]:
    for session, name, *chats, filter_ in rules.enabled_edges(owner=context.actor.owner):
        path = f"{session}/{name}"
        if path not in changes:
            yield from graph.edges_of(path, chats[0], chats[1], filter_)
    for it in changes.values():
        if it.after and it.after.enabled:
            after = it.after
            yield from graph.edges_of(it.path, after.sources, after.destinations, after.filter)


def _rows(context: Context, session: str | None) -> list[RuleRow]:
    def page(after: Any, limit: int) -> Page[RuleRow]:
        return listing(context, after=after, limit=limit, session=session)

    return list(every(page))


def _tried(row: RuleRow, facts: Facts, *, with_plugins: bool) -> Tried:
    problem, result = "", trial.Trial(False, "", False, "", ())
    try:
        plugins = compile_plugins(row.options.get("plugins", ())) if row.mode == "copy" else ()
        trying = PluginTrial(plugins, row.id, facts) if plugins and with_plugins else None
        buttons = compile_buttons(row.options.get("buttons", "")) if row.mode == "copy" else ""
        result = trial.tried(row.filter, row.transform, facts, trying, buttons=buttons)
        problem = "; ".join(trying.problems) if trying else ""
        if plugins and not with_plugins:
            problem = "its plug-ins are called when it is tried by its name"
    except ValueError as error:
        problem = str(error)
    return Tried(
        row.path,
        row.enabled,
        row.mode,
        result.forwards,
        result.decided,
        result.changed,
        result.text if result.forwards else "",
        result.entities if result.forwards else (),
        result.buttons,
        problem,
    )
