"""Rules as a graph of chats: pairs that several rules serve, and ways round."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any, NamedTuple

from afx.forwarding.chat_names import ME, is_invite
from afx.forwarding.topics import chat_of

MOST_SHOWN = 20
_MOST_NAMES = 5


class Edge(NamedTuple):
    """One rule between two chats, as the rule names them."""

    source: str
    destination: str
    rule: str
    """``SESSION/NAME``."""
    filter: Mapping[str, Any]


def edges_of(
    rule: str, sources: Iterable[str], destinations: Iterable[str], filter: Mapping[str, Any]
) -> Iterator[Edge]:
    """Yield the edges of a rule; a chat is never forwarded to itself."""
    to = [_known_as(it, rule) for it in destinations]
    for source in (_known_as(it, rule) for it in sources):
        for destination in to:
            if source != destination:
                yield Edge(source, destination, rule, filter)


def _known_as(chat: str, rule: str) -> str:
    """Return a chat by what is one chat for all sessions: each has Saved Messages of its own."""
    if chat == ME:
        return f"{ME} of {rule.partition('/')[0]}"
    return chat if is_invite(chat) else chat.casefold()


def warnings(edges: Iterable[Edge], changed: Collection[str]) -> list[str]:
    """Return what is odd about some rules, among all rules: doubles and ways round.

    Chats are compared by what the rules call them: an id and a name are two.
    """
    known = list(edges)
    found = [*_doubles(known, changed), *_cycles(known, changed)]
    if len(found) > MOST_SHOWN:
        found[MOST_SHOWN:] = [f"and {len(found) - MOST_SHOWN} more"]
    return found


def _doubles(edges: Iterable[Edge], changed: Collection[str]) -> Iterator[str]:
    """Yield the pairs of chats between which a message goes twice.

    Two rules with filters that differ may share the work, and are left out.
    """
    by_pair: dict[tuple[str, str], list[Edge]] = defaultdict(list)
    for it in edges:
        by_pair[it.source, it.destination].append(it)
    for (source, destination), them in by_pair.items():
        if len(them) < 2 or not any(it.rule in changed for it in them):
            continue
        if all(not _may_share(them[0], it) for it in them[1:]):
            names = _named(dict.fromkeys(it.rule for it in them))
            yield f"{names} forward the same messages of {source} to {destination}"


def _may_share(one: Edge, other: Edge) -> bool:
    return bool(one.filter and other.filter and one.filter != other.filter)


def _cycles(edges: Iterable[Edge], changed: Collection[str]) -> Iterator[str]:
    """Yield one shortest way round through each changed rule that lies on one."""
    after: dict[str, dict[str, str]] = defaultdict(dict)
    starts: dict[tuple[str, str], str] = {}
    for it in edges:
        after[it.source].setdefault(it.destination, it.rule)
        if it.rule in changed:
            after[it.source][it.destination] = it.rule
            starts[it.source, it.destination] = it.rule
    seen: set[frozenset[str]] = set()
    for (source, destination), rule in starts.items():
        way = _way(after, destination, source)
        if way is None or frozenset(way) in seen:
            continue
        seen.add(frozenset(way))
        rules = dict.fromkeys([rule, *(_leading(after, a)[b] for a, b in pairwise(way))])
        chats = " → ".join([source, *way])
        yield f"{chats} is a way round ({_named(rules)}); each message goes it once"


def _way(after: Mapping[str, Mapping[str, str]], start: str, end: str) -> list[str] | None:
    """Return the shortest way between two chats, with both; None for none."""
    came: dict[str, str] = {start: ""}
    front = [start]
    while front:
        behind = []
        for at in front:
            if end in (at, chat_of(at)):
                way = [at]
                while came[way[-1]]:
                    way.append(came[way[-1]])
                return way[::-1]
            for it in _leading(after, at):
                if it not in came:
                    came[it] = at
                    behind.append(it)
        front = behind
    return None


def _leading(after: Mapping[str, Mapping[str, str]], chat: str) -> Mapping[str, str]:
    """Return the chats that come after one, with a rule; what is in a topic is in its forum."""
    return {**after.get(chat_of(chat), {}), **after.get(chat, {})}


def _named(rules: Iterable[str]) -> str:
    names = list(rules)
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    word = "rule" if len(names) == 1 else "rules"
    return f"{word} {', '.join(names[:_MOST_NAMES])}{more}"
