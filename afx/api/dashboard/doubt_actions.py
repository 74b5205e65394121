"""What a person may do from a rule's page to its doubts, one by one."""

from __future__ import annotations

import re

from afx.api.dashboard.action import Action, Field, Form
from afx.errors import NotFoundError, UsageError
from afx.operations import doubts
from afx.operations.context import Context

_TARGET = re.compile(r"([0-9]{1,9}):(-[0-9]{1,16}):(-?[0-9]{1,16}):([0-9]{1,10})", re.ASCII)


def _parts(target: str) -> tuple[str, int, int, int]:
    """Return the rule's id, the destination, the source and the message of a target."""
    match = _TARGET.fullmatch(target)
    if not match:
        raise NotFoundError("A doubt is of a rule, a destination and a message; choose one.")
    return match[1], int(match[2]), int(match[3]), int(match[4])


def _words(target: str) -> list[str]:
    rule, to, source, message = _parts(target)
    return [rule, "--to", str(to), "--from", str(source), "--message", str(message)]


def _decide(context: Context, target: str, sent: int) -> str:
    rule, to, source, message = _parts(target)
    rows = doubts.decide(context, rule, sent=sent, message=message, source=source, destination=to)
    what = f"message {message}" if message else "what is not known"
    return f"{what} of rule {rows[0].rule} is decided"


def _sent(context: Context, target: str, form: Form) -> str:
    text = form["sent"].strip()
    if not text.isascii() or not text.isdecimal() or not 0 < len(text) < 11 or not int(text):
        raise UsageError("The id of the copy is not a number; correct it.")
    return _decide(context, target, int(text))


def _path(target: str) -> str:
    return _parts(target)[0]


def _body(target: str) -> dict[str, int]:
    _, to, source, message = _parts(target)
    return {"destination": to, "source": source, "message": message}


DOUBT_ACTIONS = (
    Action(
        "doubt.sent",
        "It was sent",
        "check",
        doubts.decide,
        _sent,
        "Look for the copy in the destination. It is linked, and not sent again.",
        "rule doubt decide",
        "POST",
        "/rules/{}/doubts/decide",
        (
            Field(
                "sent",
                "Id of the copy",
                hint="The last part of its link.",
                flag="--sent",
                shape="number",
            ),
        ),
        words=_words,
        place=_path,
        body=_body,
    ),
    Action(
        "doubt.not_sent",
        "It was not sent",
        "refresh",
        doubts.decide,
        lambda context, target, _: _decide(context, target, 0),
        "Another sender sends it. If it was sent all the same, it is doubled.",
        "rule doubt decide",
        "POST",
        "/rules/{}/doubts/decide",
        words=lambda target: [*_words(target), "--not-sent"],
        place=_path,
        body=lambda target: {**_body(target), "sent": 0},
    ),
)
