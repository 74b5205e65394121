"""What is in Redis of the doubts of pools' lanes: what a sender may have sent, without an answer.

Their owners read them to look for the copies, and operators to decide what only they know.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import redis

from afx.cluster import keys
from afx.cluster.post_claims import SECONDS
from afx.cluster.scripts import source
from afx.errors import UsageError

NOT_SENT = "not-sent"
_FIELD = re.compile(r"doubt:(-?[0-9]{1,19})", re.ASCII)
_OF = re.compile(r"(-?[0-9]{1,19}):([0-9]{1,10}):([0-9]{1,10}):([0-9]{1,11})", re.ASCII)
_SENDER = re.compile(r"[0-9]{1,19}", re.ASCII)
_SENT = re.compile(r"sent:([0-9]{1,10})", re.ASCII)
_DESTINATION = re.compile(r"-[0-9]{1,19}", re.ASCII)
_TIME = re.compile(r"[0-9]{1,11}", re.ASCII)
_ID = re.compile(r"-?[0-9]{1,19}", re.ASCII)
_UNDER_WAY_SECONDS = 10
"""For so long the answer to an order that was taken is waited for before it is a doubt."""


@dataclass(slots=True, frozen=True)
class Doubt:
    """A send that may have been made, and was not answered."""

    random_id: int
    sender: int
    """The id of the session that may have made it."""
    source: int = 0
    """Of which message it is; both 0 where that is not known."""
    message: int = 0
    after: int = 0
    """The last copy of the lane that was made before; 0 where that is not known."""
    since: int = 0
    """When its sender was asked first, in Unix seconds of Redis; 0 where that is not known."""
    verdict: str = ""
    """What an operator has decided: ``NOT_SENT``, or ``sent:`` with the copy's id."""

    @property
    def copy(self) -> int:
        """The copy that an operator has named; 0 for none."""
        match = _SENT.fullmatch(self.verdict)
        return int(match[1]) if match else 0


def sent_verdict(copy: int) -> str:
    """Return the verdict that a copy was made."""
    return f"sent:{copy}"


def parse_doubts(fields: Mapping[str, str]) -> list[Doubt]:
    """Return the doubts among the fields of a lane, the oldest first; malformed ones are none."""
    found = []
    for name, sender in fields.items():
        match = _FIELD.fullmatch(name)
        if not match or not _SENDER.fullmatch(sender):
            continue
        of = _OF.fullmatch(fields.get(f"of:{match[1]}", ""))
        of_source, message, after, since = map(int, of.groups()) if of else (0, 0, 0, 0)
        verdict = fields.get(f"verdict:{match[1]}", "")
        is_known = verdict == NOT_SENT or _SENT.fullmatch(verdict)
        verdict = verdict if is_known else ""
        doubt = Doubt(int(match[1]), int(sender), of_source, message, after, since, verdict)
        found.append(doubt)
    return sorted(found, key=lambda it: (it.since, it.source, it.message))


def worked_until(fields: Mapping[str, str], sender: int) -> int:
    """Return until when a sender may have been at work for a lane; 0: not known.

    In Unix seconds of Redis: when it took, or answered, an order last, or when no node was found
    to have it. Between these it may have waited for its connection.
    """
    texts = fields.get("taken", ""), fields.get(f"gone:{sender}", "")
    return max(int(it) if _TIME.fullmatch(it) else 0 for it in texts)


def lanes_of(client: redis.Redis, rule: int) -> list[int]:
    """Return the destinations, as marked ids, to which a rule's senders post, or have posted."""
    stored = client.smembers(keys.pool_lanes(rule))
    texts = stored if isinstance(stored, set) else ()
    return sorted(int(it) for it in texts if isinstance(it, str) and _DESTINATION.fullmatch(it))


def doubts_of(client: redis.Redis, rule: int, destination: int) -> list[Doubt]:
    """Return the doubts of a lane, the oldest first; without what is just being sent."""
    fields: Any = client.hgetall(keys.pool(rule, destination))
    found = parse_doubts(fields) if isinstance(fields, dict) else []
    if not found:
        return []
    now: Any = client.time()
    return [it for it in found if not is_under_way(fields, it, int(now[0]))]


def is_under_way(fields: Mapping[str, str], doubt: Doubt, now: int) -> bool:
    """Return whether a sender is at work on a send: its answer may come any moment.

    ``now`` is in Unix seconds of Redis.
    """
    if fields.get("state") != "taken" or f"gone:{doubt.sender}" in fields:
        return False
    if str(doubt.random_id) not in _ID.findall(fields.get("ids", "")):
        return False
    return doubt.since > now - _UNDER_WAY_SECONDS


def end_lanes(client: redis.Redis, rule: int) -> list[Doubt]:
    """Forget the lanes of a rule that was removed; returns what was in doubt of them.

    Call it only once no session has the rule any more, or soon will have none.
    """
    found: list[Doubt] = []
    try:
        destinations = lanes_of(client, rule)
    except redis.ResponseError:
        destinations = []  # another type of key: there is nothing to be found by it
    for to in destinations:
        with suppress(redis.ResponseError):
            fields: Any = client.hgetall(keys.pool(rule, to))
            found += parse_doubts(fields)
        client.delete(keys.pool(rule, to), keys.posters(rule, to))
    client.delete(keys.pool_lanes(rule))
    return found


def decide(client: redis.Redis, rule: int, destination: int, doubt: Doubt, verdict: str) -> bool:
    """Store what an operator has decided of a doubt; False when it is none any more.

    Raises UsageError for a copy that is another message's.
    """
    script = client.register_script(source("pool_verdict"))
    names = [keys.pool(rule, destination), keys.post_claims(destination)]
    answer = script(keys=names, args=[doubt.random_id, doubt.sender, verdict, SECONDS])
    if answer == -1:
        raise UsageError(
            f"Message {verdict.partition(':')[2]} of {destination} is the copy of another message "
            "already; look for the right one."
        )
    return bool(answer == 1)
