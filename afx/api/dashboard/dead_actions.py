"""What a person may do from a page to dead letters: those of a rule, or of a rule and reason."""

from __future__ import annotations

from afx.api.dashboard.action import Action, Form, Preview
from afx.errors import NotFoundError, UsageError
from afx.operations import dead_letters
from afx.operations.context import Context
from afx.operations.dead_letters import Chosen


def _parts(target: str) -> tuple[str, str | None]:
    """Return the rule's id and the reason of a target: ``12`` or ``12:message_gone``."""
    rule, _, reason = target.partition(":")
    if not rule.isascii() or not rule.isdecimal() or len(rule) > 9:
        raise NotFoundError("A rule has a number; choose one of the list.")
    return rule, reason or None


def _chosen(context: Context, target: str, seen: str = "") -> Chosen:
    rule, reason = _parts(target)
    until = int(seen) if seen.isascii() and seen.isdecimal() and len(seen) < 17 else None
    return dead_letters.choose_for_change(context, rule, reason=reason, until=until)


def _words(target: str) -> list[str]:
    rule, reason = _parts(target)
    return [rule, "--kind", reason] if reason else [rule]


def _preview(context: Context, target: str) -> Preview:
    found = _chosen(context, target)
    text = f"{found.messages} messages of rule {found.rule} could not be delivered."
    return Preview(text, str(found.until))


def _named(context: Context, target: str) -> str:
    return _chosen(context, target).rule


def _retry(context: Context, target: str, form: Form) -> str:
    found = _chosen(context, target, form.get("seen", ""))
    tasks = ", ".join(map(str, dead_letters.retry(context, found)))
    return f"{found.messages} messages of rule {found.rule} are tried again (task {tasks})"


def _drop(context: Context, target: str, form: Form) -> str:
    seen = form.get("seen", "")
    if not seen:
        raise UsageError("What is to be dropped was not shown; open the page again.")
    found = _chosen(context, target, seen)
    return f"{dead_letters.drop(context, found)} messages of rule {found.rule} were dropped"


def _path(target: str) -> str:
    return _parts(target)[0]


def _body(target: str) -> dict[str, str]:
    reason = _parts(target)[1]
    return {"reason": reason} if reason else {}


DEAD_ACTIONS = (
    Action(
        "dead.retry",
        "Retry",
        "refresh",
        dead_letters.retry,
        _retry,
        "They are sent once more, behind what waits for their destinations. What was delivered "
        "all the same is known, and not sent again.",
        "rule dead retry",
        "POST",
        "/rules/{}/dead-letters/retry",
        words=_words,
        place=_path,
        body=_body,
        seen_until=True,
        preview=_preview,
        named=_named,
    ),
    Action(
        "dead.drop",
        "Drop",
        "x",
        dead_letters.drop,
        _drop,
        "They are deleted, and never delivered. What comes after this page was shown stays.",
        "rule dead drop",
        "POST",
        "/rules/{}/dead-letters/drop",
        destroys=True,
        words=_words,
        place=_path,
        body=_body,
        seen_until=True,
        preview=_preview,
        named=_named,
    ),
)
