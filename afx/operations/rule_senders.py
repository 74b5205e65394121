"""What is to be told of the senders of rules: which cannot send, and who does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol, TypeVar

from afx.cluster import keys
from afx.errors import AfxError
from afx.forwarding.chat_names import has_id
from afx.forwarding.topics import chat_of
from afx.operations.context import Servers
from models.storage import senders
from models.tables import Session


class _Row(Protocol):
    @property
    def session(self) -> str: ...
    @property
    def options(self) -> Mapping[str, Any]: ...
    @property
    def trouble(self) -> str: ...


_T = TypeVar("_T", bound=_Row)


def with_troubles(rows: Sequence[_T]) -> list[_T]:
    """Return rules; of those with senders, what SQL says against these is among the troubles."""
    having = [it for it in rows if it.options.get("senders")]
    if not having:
        return list(rows)
    names = {name for it in having for name in (it.session, *it.options["senders"])}
    found = senders.named(sorted(names))
    return [_with_trouble(it, found) for it in rows]


def _with_trouble(row: _T, found: Mapping[str, Session]) -> _T:
    owner = found.get(row.session)
    wrong = [
        f"{name} {why}"
        for name in row.options.get("senders", ())
        if owner is not None and (why := _why(found.get(name), owner))
    ]
    # Its node may have told the same in its own words.
    new = [it for it in wrong if it.partition(" ")[0] + ":" not in row.trouble]
    if not new:
        return row
    text = "; ".join([*([row.trouble] if row.trouble else []), f"senders: {', '.join(new)}"])
    return replace(row, trouble=text)  # type: ignore[type-var]


def _why(sender: Session | None, owner: Session) -> str:
    """Return why a session does not send; empty when nothing is known against it."""
    if sender is None or sender.user_id != owner.user_id:
        return "does not exist"
    if sender.removing:
        return "is being removed"
    return "" if sender.desired_state == "running" else f"is {sender.desired_state}"


def posting(servers: Servers, rule: int, destinations: Iterable[str]) -> list[str]:
    """Return who posts a rule's copies now, in words; nothing where that is not known."""
    import redis

    numbers: dict[str, int] = {}
    try:
        client = servers.redis_if_running()
        if client is None:
            return []
        for it in destinations:
            chat = chat_of(it)
            stored = client.hget(keys.pool(rule, int(chat)), "sender") if has_id(chat) else None
            if isinstance(stored, str) and stored.isascii() and stored.isdecimal():
                numbers[it] = int(stored[:18])
    except (redis.RedisError, AfxError):
        return []
    names = senders.names_of(sorted(set(numbers.values())))
    return [
        f"Now {names[number]} posts to {it}." for it, number in numbers.items() if number in names
    ]
