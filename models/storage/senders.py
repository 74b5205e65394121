"""The sessions that rules name as their senders."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from models.base import execute
from models.storage import hibernation
from models.tables import Rule, Session

_PART = 500
_HAVING_SENDERS = '%"senders":%'
"""What the stored options of a rule with senders are like."""


def ids_of(rules: Iterable[Rule]) -> dict[int, dict[str, int]]:
    """Return the ids of senders by name, for each rule that has any.

    A session of another user than the rule's is none.
    """
    having = [it for it in rules if it.options.get("senders")]
    if not having:
        return {}
    users = _users_of(sorted({it.session_id for it in having}))
    found = named(sorted({name for it in having for name in it.options["senders"]}))
    return {
        it.id: {
            name: found[name].id
            for name in it.options["senders"]
            if name in found and found[name].user_id == users.get(it.session_id)
        }
        for it in having
    }


def named(names: Sequence[str]) -> dict[str, Session]:
    """Return sessions by their names, with their users and desired states; without unknown ones."""
    columns = Session.id, Session.name, Session.user, Session.desired_state, Session.removing
    found: dict[str, Session] = {}
    for start in range(0, len(names), _PART):
        part = list(names[start : start + _PART])
        found |= {it.name: it for it in Session.select(*columns).where(Session.name.in_(part))}
    return found


def by_user(ids: Sequence[int]) -> dict[int, list[str]]:
    """Return the names of sessions by the ids of their users."""
    found: dict[int, list[str]] = {}
    for start in range(0, len(ids), _PART):
        part = list(ids[start : start + _PART])
        rows = Session.select(Session.user, Session.name).where(Session.id.in_(part)).tuples()
        for user, name in rows:
            found.setdefault(user, []).append(name)
    return found


def names_of(ids: Sequence[int]) -> dict[int, str]:
    """Return the names of sessions, by id; without unknown ones."""
    found: dict[int, str] = {}
    for start in range(0, len(ids), _PART):
        part = list(ids[start : start + _PART])
        found |= dict(Session.select(Session.id, Session.name).where(Session.id.in_(part)).tuples())
    return found


def named_by(ids: Sequence[int]) -> dict[int, set[str]]:
    """Return the names of the senders of sessions' rules, by the ids of the users."""
    found: dict[int, set[str]] = {}
    for start in range(0, len(ids), _PART):
        part = list(ids[start : start + _PART])
        cursor = execute(
            "SELECT s.user_id, r.options FROM rules AS r JOIN sessions AS s ON s.id = r.session_id"
            f" WHERE s.id IN ({', '.join('?' * len(part))}) AND r.options LIKE ?",
            *part,
            _HAVING_SENDERS,
        )
        for user, options in cursor.fetchall():
            found.setdefault(user, set()).update(json.loads(options).get("senders", ()))
    return found


def renew(session: int, names: Iterable[str]) -> None:
    """Note whether enabled rules name sessions as their senders; wakes those that they do.

    ``session`` is one of the user whose rules, and sessions, they are. Call it in the transaction
    that changes rules.
    """
    chosen = sorted(set(names))
    if not chosen:
        return
    (user,) = execute("SELECT user_id FROM sessions WHERE id = ?", session).fetchone()
    renew_of_user(user, chosen)


def renew_of_user(user: int, names: Iterable[str]) -> None:
    """Do as ``renew`` does for the rules and sessions of a user, by the user's id."""
    chosen = sorted(set(names))
    cursor = execute(
        "SELECT r.options FROM rules AS r JOIN sessions AS s ON s.id = r.session_id"
        " WHERE s.user_id = ? AND r.enabled AND r.options LIKE ?",
        user,
        _HAVING_SENDERS,
    )
    wanted = {name for (it,) in cursor.fetchall() for name in json.loads(it).get("senders", ())}
    found = [it for it in named(chosen).values() if it.user_id == user]
    sending = [it.id for it in found if it.name in wanted]
    resting = [it.id for it in found if it.name not in wanted]
    for value, ids in ((1, sending), (0, resting)):
        Session.update(sends=value).where(Session.id.in_(ids), Session.sends != value).execute()
    hibernation.wake_for_rules(sending)


def appeared_or_left(user: int, names: Iterable[str]) -> None:
    """Let the rules of a user that name some sessions as senders use those that are there now.

    Call it in the transaction that adds or removes them. It reaches running sessions without a
    restart.
    """
    chosen = set(names)
    cursor = execute(
        "SELECT r.session_id, r.options FROM rules AS r JOIN sessions AS s ON s.id = r.session_id"
        " WHERE s.user_id = ? AND r.enabled AND r.options LIKE ?",
        user,
        _HAVING_SENDERS,
    )
    owners = set()
    for session, options in cursor.fetchall():
        if chosen.intersection(json.loads(options).get("senders", ())):
            owners.add(session)
    if not owners:
        return
    found = sorted(owners)
    for start in range(0, len(found), _PART):
        part = found[start : start + _PART]
        Session.update(content=Session.content + 1).where(Session.id.in_(part)).execute()
    renew_of_user(user, chosen)


def _users_of(ids: Sequence[int]) -> dict[int, int]:
    found: dict[int, int] = {}
    for start in range(0, len(ids), _PART):
        query = Session.select(Session.id, Session.user).where(
            Session.id.in_(list(ids[start : start + _PART]))
        )
        found |= dict(query.tuples())
    return found
