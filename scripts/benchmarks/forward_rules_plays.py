"""What is forwarded in bench forward-rules: the chats and rules of each kind of round."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from afx.lab.accounts import LabSession
from afx.lab.cluster import LabCluster
from models.storage import rules, sessions
from models.storage.rules import NewRule

FOOTER = "end"
ACCEPTED, REFUSED = "message", "never said"
"""What filters ask for: all posts have the first in their text, and none the second."""
FANOUT = 50


@dataclass(slots=True, frozen=True)
class Play:
    """The chats of one kind of round, of one account."""

    kind: str
    chats: list[int]
    """What is posted to, in turn."""
    routes: list[tuple[int, int]]
    """(source, destination) of what must be copied."""
    rules: list[dict[str, Any]]
    """Each rule's sources, destinations and what its filter asks for; "" for plain copies."""

    @property
    def share(self) -> float:
        """Copies of one post, on average."""
        return len(self.routes) / len(self.chats)


def _channels(lab: LabCluster, account: int, count: int, *, posts: bool) -> list[int]:
    role = "posters" if posts else "members"
    wanted = [{"title": f"{role} {it}", role: [account]} for it in range(count)]
    return [int(it["id"]) for it in lab.sandbox.call("channels", channels=wanted)]


def _rule(sources: Sequence[int], destinations: Sequence[int], asks: str = "") -> dict[str, Any]:
    return {"from": list(sources), "to": list(destinations), "asks": asks}


def plain(lab: LabCluster, account: int) -> Play:
    [source] = _channels(lab, account, 1, posts=False)
    [to] = _channels(lab, account, 1, posts=True)
    return Play("plain", [source], [(source, to)], [_rule([source], [to])])


def _twenty(lab: LabCluster, account: int) -> Play:
    sources = _channels(lab, account, 20, posts=False)
    to = _channels(lab, account, 20, posts=True)
    routes = list(zip(sources, to, strict=True))
    made = [_rule([one], [other], ACCEPTED) for one, other in routes]
    return Play("rules", sources, routes, made)


def _unmatched(lab: LabCluster, account: int) -> Play:
    """Of ten posts two are copied: four are in chats of no rule, four are refused by a filter."""
    sources = _channels(lab, account, 10, posts=False)
    to = _channels(lab, account, 6, posts=True)
    pairs = list(zip(sources, to, strict=False))
    made = [_rule([one], [other], ACCEPTED) for one, other in pairs[:2]]
    made += [_rule([one], [other], REFUSED) for one, other in pairs[2:]]
    return Play("unmatched", sources, pairs[:2], made)


def _fan_out(lab: LabCluster, account: int) -> Play:
    [source] = _channels(lab, account, 1, posts=False)
    to = _channels(lab, account, FANOUT, posts=True)
    return Play("fan-out", [source], [(source, it) for it in to], [_rule([source], to)])


KINDS = {"plain": plain, "rules": _twenty, "unmatched": _unmatched, "fan-out": _fan_out}


def replace_rules(session: LabSession, play: Play, *, sync: Sequence[str] = ()) -> None:
    owner = sessions.find(session.name)
    for old in rules.for_sessions([owner.id])[owner.id]:
        rules.remove(old)
    rules.create_many(
        [
            NewRule(
                owner.id,
                f"{play.kind}-{number}",
                [str(chat) for chat in it["from"]],
                [str(chat) for chat in it["to"]],
                filter=filter_of(it["asks"]),
                transform=transform_of(it["asks"]),
                sync=list(sync),
            )
            for number, it in enumerate(play.rules)
        ]
    )


def filter_of(asks: str) -> dict[str, Any]:
    if not asks:
        return {}
    return {"all": [{"contains": [asks]}, {"not": {"contains": ["spam"]}}, {"length": {"min": 5}}]}


def transform_of(asks: str) -> list[Any]:
    if not asks:
        return []
    return [{"replace": {"text": ["Acme Corp", "ACME"], "with": "Emca"}}, {"footer": FOOTER}]
