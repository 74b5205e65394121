"""The queues of what is postponed, as they are stored in a session's cursor hash."""

from __future__ import annotations

import re

from afx.node.outbox import Outbox
from afx.telegram.session import MalformedPositionError

Queue = tuple[str, int]
"""``s`` (sends), ``d`` (deletes of copies that are old enough) or ``c`` (changes that are put off)
with the rule's number, and the destination."""
_FIELD = re.compile(r"later:([sdc][0-9]{1,10}):(-?[0-9]{1,19}):([0-9]{1,12})", re.ASCII)
_FIRST = re.compile(r"lfirst:([sdc][0-9]{1,10}):(-?[0-9]{1,19})", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,12}", re.ASCII)


def take_queues(fields: dict[str, str]) -> dict[Queue, Outbox]:
    """Take what is stored out of a cursor's fields; raises MalformedPositionError."""
    found: dict[Queue, dict[int, str]] = {}
    first: dict[Queue, int] = {}
    for name in [it for it in fields if it.startswith(("later:", "lfirst:"))]:
        text = fields.pop(name)
        if match := _FIELD.fullmatch(name):
            found.setdefault((match[1], int(match[2])), {})[int(match[3])] = text
        elif (match := _FIRST.fullmatch(name)) and _NUMBER.fullmatch(text):
            first[match[1], int(match[2])] = int(text)
        else:
            raise MalformedPositionError(f"what is to be sent later is stored as {name[:40]!r}")
    return {
        (queue, chat): Outbox(
            chat, found.get((queue, chat)), first.get((queue, chat), 0), queue=queue
        )
        for queue, chat in {*found, *first}
    }
