"""What a person may do from a page to held messages: all of a rule, or one."""

from __future__ import annotations

from typing import Any

from afx.api.dashboard.action import Action, Form, Preview
from afx.errors import NotFoundError, UsageError
from afx.operations import reviews
from afx.operations.context import Context
from afx.operations.reviews import Decision

_LONGEST = 200
"""Characters of a text in a dialog."""


def _parts(target: str) -> tuple[str, int | None]:
    """Return the rule's id and the message's of a target: ``12`` or ``12:345``."""
    rule, _, number = target.partition(":")
    for it in (rule, number or "1"):
        if not it.isascii() or not it.isdecimal() or len(it) > 9:
            raise NotFoundError("A held message has a number; choose one of the list.")
    return rule, int(number) if number else None


def _words(target: str) -> list[str]:
    rule, number = _parts(target)
    return [rule, "--id", str(number)] if number else [rule, "--all", "--yes"]


def _preview(context: Context, target: str) -> Preview:
    rule, number = _parts(target)
    if number is None:
        [*found] = reviews.waiting_for_change(context, rule)
        if not found:
            return Preview("No message of the rule waits for an approval.")
        text = f"{found[0].count} messages of rule {found[0].rule} wait for an approval."
        return Preview(text, str(found[0].until))
    it = reviews.shown_for_change(context, number)
    text = it.text if len(it.text) <= _LONGEST else it.text[: _LONGEST - 1] + "…"
    kind = "" if it.media in ("", "text") else f" ({it.media})"
    return Preview(f"Message {it.message} of rule {it.rule}{kind}: {text}", str(it.until))


def _named(context: Context, target: str) -> str:
    """Return how people know a held message, or a rule of which all is meant."""
    rule, number = _parts(target)
    if number is None:
        return reviews.rule_for_change(context, rule)
    it = reviews.shown_for_change(context, number)
    return f"message {it.message} of {it.rule}"


def _decide(decide: Any, context: Context, target: str, form: Form) -> Decision:
    rule, number = _parts(target)
    seen = form.get("seen", "")
    if not (seen.isascii() and seen.isdecimal() and len(seen) < 17):
        raise UsageError("What is to be decided was not shown; open the page again.")
    found: Decision = decide(
        context, rule, ids=() if number is None else (number,), until=int(seen)
    )
    return found


def _approve(context: Context, target: str, form: Form) -> str:
    found = _decide(reviews.approve, context, target, form)
    tasks = ", ".join(map(str, found.tasks))
    return f"{found.messages} messages of rule {found.rule} are sent (task {tasks})"


def _reject(context: Context, target: str, form: Form) -> str:
    found = _decide(reviews.reject, context, target, form)
    return f"{found.messages} messages of rule {found.rule} were rejected"


def _path(target: str) -> str:
    return _parts(target)[0]


def _body(target: str) -> dict[str, list[int]]:
    number = _parts(target)[1]
    return {"ids": [number]} if number else {}


REVIEW_ACTIONS = (
    Action(
        "review.approve",
        "Approve",
        "check",
        reviews.approve,
        _approve,
        "They are sent, behind what waits for their destinations. What was edited since this "
        "page was shown waits on.",
        "rule review approve",
        "POST",
        "/rules/{}/held-messages/approve",
        words=_words,
        place=_path,
        body=_body,
        seen_until=True,
        preview=_preview,
        named=_named,
    ),
    Action(
        "review.reject",
        "Reject",
        "x",
        reviews.reject,
        _reject,
        "They are never sent. What was edited since this page was shown waits on.",
        "rule review reject",
        "POST",
        "/rules/{}/held-messages/reject",
        words=_words,
        place=_path,
        body=_body,
        seen_until=True,
        preview=_preview,
        named=_named,
    ),
)
