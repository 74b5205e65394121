"""What a person may do from a page to all sessions that a filter finds."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import parse_qsl

from afx.api.dashboard.action import Action, Field, Form, Preview
from afx.errors import UsageError
from afx.operations import session_bulk
from afx.operations.context import Context
from afx.operations.session_bulk import Verb
from afx.operations.sessions import SessionFilter

FILTERS = ("user", "tier", "node", "state", "prefix", "label", "health")
"""What of a list's address is a filter, beside ``troubled``."""
_LIMIT = Field(
    "limit", "At most", flag="--limit", value="1000", hint="Sessions, by name.", shape="number"
)


def filter_of(target: str) -> SessionFilter:
    """Return the filter that an address of the list of sessions has after its question mark.

    Raises UsageError for one that finds all sessions.
    """
    given = {name: value for name, value in parse_qsl(target, max_num_fields=20) if value}
    chosen = SessionFilter(
        **{name: given[name] for name in FILTERS if name in given},
        troubled=given.get("troubled") == "true",
    )
    if chosen == SessionFilter():
        raise UsageError("Choose a filter first; this would be about all sessions.")
    return chosen


def _given(target: str) -> dict[str, str | bool]:
    chosen = filter_of(target)
    found: dict[str, str | bool] = {
        it: getattr(chosen, it) for it in FILTERS if getattr(chosen, it)
    }
    return {**found, "troubled": True} if chosen.troubled else found


def _words(verb: Verb) -> Callable[[str], list[str]]:
    def words(target: str) -> list[str]:
        chosen = filter_of(target)
        found: list[str] = [verb]
        for name in FILTERS:
            if value := getattr(chosen, name):
                found += [f"--{name}", value]
        return [*found, "--trouble"] if chosen.troubled else found

    return words


def _preview(context: Context, target: str) -> Preview:
    found = session_bulk.preview(context, filter_of(target))
    names = ", ".join(found.first)
    more = f" and {found.matched - len(found.first)} more" if found.matched > 10 else ""
    return Preview(f"{found.matched} sessions match{f': {names}{more}' if names else ''}.")


def _run(verb: Verb) -> Callable[[Context, str, Form], str]:
    def run(context: Context, target: str, form: Form) -> str:
        limit = form.get("limit", _LIMIT.value)
        if not limit.isascii() or not limit.isdecimal() or len(limit) > 6:
            raise UsageError("The number of sessions is no number; correct it.")
        plan = session_bulk.plan(
            context, verb, filter_of(target), node=form.get("node", ""), limit=int(limit)
        )
        done = session_bulk.change(context, plan)
        refused = [it for it in done.items if it.state == "refused"]
        said = f"{len(done.items) - len(refused)} of {done.matched} sessions"
        if refused:
            said += f", {len(refused)} refused: {refused[0].session}: {refused[0].note}"
        return said

    return run


def _action(verb: Verb, label: str, icon: str, effect: str, *fields: Field) -> Action:
    return Action(
        f"sessions.{verb}",
        label,
        icon,
        session_bulk.change,
        _run(verb),
        effect,
        "session bulk",
        "POST",
        "/session-changes",
        (*fields, _LIMIT),
        destroys=verb == "remove",
        takes_long=True,
        back="",
        words=_words(verb),
        body=lambda target: {"verb": verb, "filter": _given(target)},
        preview=_preview,
    )


BULK_ACTIONS = (
    _action(
        "pause",
        "Pause all that match",
        "paused",
        "They stop and miss nothing: they continue where they were when they are resumed.",
    ),
    _action(
        "resume",
        "Resume all that match",
        "running",
        "They run again, and forward what they have missed. Their troubles are cleared.",
    ),
    _action(
        "hibernate",
        "Hibernate all that match",
        "hibernating",
        "They disconnect, and wake from time to time to forward what they have missed.",
    ),
    _action(
        "wake",
        "Wake all that match",
        "running",
        "They run again, stay awake, and forward what they have missed.",
    ),
    _action(
        "move",
        "Move all that match",
        "moving",
        "They stop on their nodes, and then start on others.",
        Field("node", "To node", required=False, hint="Empty: any other node.", flag="--to"),
    ),
    _action(
        "remove",
        "Remove all that match",
        "x",
        "They stop; their logins and their rules are deleted. To run the accounts again, someone "
        "must log in.",
    ),
)
