"""Rules: source chats of sessions and their destination chats."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import peewee

from afx.errors import ConflictError, NotFoundError, UsageError, printable
from models import names, paging, sorting
from models.base import execute, insert_many, is_postgres, micros, transaction, utc_now
from models.paging import Page
from models.prepared import Prepared
from models.sorting import Column
from models.states import MODES
from models.storage import hibernation, senders, sessions
from models.tables import Rule, Session, User

_PART = 500
_ORDERS = {"id": Column(Rule.id)}
_WITHOUT_RESTART = {"filter", "transform", "sync", "options"}
_prepared = Prepared()


@dataclass(slots=True, frozen=True)
class NewRule:
    """A rule to be added to a session."""

    session: int
    name: str
    """Unique within its session."""
    sources: list[str]
    destinations: list[str]
    mode: str = "copy"
    enabled: bool = True
    filter: dict[str, Any] = field(default_factory=dict)
    transform: list[Any] = field(default_factory=list)
    sync: list[str] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)


def create(
    session: Session,
    sources: list[str],
    destinations: list[str],
    mode: str = "copy",
    *,
    name: str = "",
    enabled: bool = True,
    filter: dict[str, Any] | None = None,
    transform: list[Any] | None = None,
    sync: list[str] | None = None,
    options: dict[str, Any] | None = None,
) -> Rule:
    """Add a rule to a session; see ``create_many``.

    Without a name the rule is called ``rule-N``. Raises UsageError when the session has
    a rule of that name, and for an unknown mode.
    """
    with transaction():
        name = name or _free_name(session)
        row = NewRule(session.id, name, sources, destinations, mode, enabled)
        row = replace(row, filter=filter or {}, transform=transform or [], sync=sync or [])
        create_many([replace(row, options=options or {})])
        rule: Rule = Rule.get((Rule.session == session) & (Rule.name == name))
        return rule


def create_many(rows: Sequence[NewRule]) -> None:
    """Add rules, all or none; a session that runs with a rule takes them without a restart.

    Raises UsageError for a name that is taken and for an unknown mode.
    """
    now = micros(utc_now())
    encode = Rule.sources.db_value
    for it in rows:
        names.check_name("rule", it.name)
        _check_mode(it.mode)
    try:
        with transaction():
            _renew_or_revise(it.session for it in rows)
            hibernation.wake_for_rules(it.session for it in rows if it.enabled)
            ids = _fresh_ids(len(rows))
            insert_many(
                "rules",
                (
                    "session_id",
                    "name",
                    "sources",
                    "destinations",
                    "mode",
                    "enabled",
                    "filter",
                    "transform",
                    "sync",
                    "options",
                    "created_at",
                    *(("id",) if ids else ()),
                ),
                [
                    (
                        it.session,
                        it.name,
                        encode(it.sources),
                        encode(it.destinations),
                        it.mode,
                        it.enabled,
                        encode(it.filter),
                        encode(it.transform),
                        encode(it.sync),
                        encode(it.options),
                        now,
                        *ids[at : at + 1],
                    )
                    for at, it in enumerate(rows)
                ],
            )
            for it in rows:
                senders.renew(it.session, it.options.get("senders", ()))
    except peewee.IntegrityError as error:
        raise ConflictError(
            "The session has a rule of that name already; nothing was added."
        ) from error


def _fresh_ids(count: int) -> Sequence[int]:
    """Return ids that no rule has had, in SQLite; none in Postgres, whose sequence gives them.

    Redis may still have links, contents and messages of a rule that was removed.
    """
    if is_postgres():
        return ()
    execute(
        "UPDATE cluster_state SET next_rule = ? + MAX(next_rule,"
        " (SELECT COALESCE(MAX(id), 0) + 1 FROM rules)) WHERE id = 1",
        count,
    )
    after = int(execute("SELECT next_rule FROM cluster_state WHERE id = 1").fetchone()[0])
    return range(after - count, after)


def find(text: str, *, owner: str = "") -> Rule:
    """Return a rule by id or ``SESSION/NAME``; raises UsageError when there is none.

    With ``owner``, a user's name, only rules of that user's sessions are considered.
    """
    rule: Rule | None = None
    if text.isascii() and text.isdecimal() and len(text) < 10:
        rule = Rule.get_or_none(Rule.id == int(text))
        if rule is not None and owner and rule.session.user.name != owner:
            rule = None
    elif "/" in text:
        session, _, name = text.rpartition("/")
        rule = Rule.get_or_none(
            (Rule.session == sessions.find(session, owner=owner)) & (Rule.name == name)
        )
    if rule is None:
        raise NotFoundError(
            f"There is no rule '{printable(text)}'; give an id or SESSION/NAME, "
            "as 'afx rule list' shows them."
        )
    return rule


def change(
    rule: Rule,
    *,
    sources: list[str] | None = None,
    destinations: list[str] | None = None,
    mode: str | None = None,
    enabled: bool | None = None,
    filter: dict[str, Any] | None = None,
    transform: list[Any] | None = None,
    sync: list[str] | None = None,
    options: dict[str, Any] | None = None,
) -> bool:
    """Change the given fields of a rule; returns False when nothing differs.

    It reaches a running session without a restart, which tells anew whether the rule works; one
    whose last rule is disabled is restarted. Raises UsageError for an unknown mode.
    """
    wanted = {
        "sources": sources,
        "destinations": destinations,
        "mode": mode,
        "enabled": enabled,
        "filter": filter,
        "transform": transform,
        "sync": sync,
        "options": options,
    }
    fields = {k: v for k, v in wanted.items() if v is not None and v != getattr(rule, k)}
    if not fields:
        return False
    if mode is not None:
        _check_mode(mode)
    with transaction():
        is_enabled = bool(fields.get("enabled", rule.enabled))
        if fields.keys() <= _WITHOUT_RESTART:
            Session.update(content=Session.content + 1).where(
                Session.id == rule.session_id
            ).execute()
        elif is_enabled or _has_others(rule):
            _renew_or_revise([rule.session_id])
        else:
            _revise([rule.session_id])
        if is_enabled and not fields.keys() <= _WITHOUT_RESTART:
            hibernation.wake_for_rules([rule.session_id])
        Rule.update(**fields, trouble="").where(Rule.id == rule.id).execute()
        after = options if options is not None else rule.options
        names = {*rule.options.get("senders", ()), *after.get("senders", ())}
        senders.renew(rule.session_id, names)
    return True


def remove(rule: Rule) -> None:
    """Remove a rule; a running session is told of it, and restarted if it was its last one."""
    with transaction():
        if _has_others(rule):
            _renew_or_revise([rule.session_id])
        else:
            _revise([rule.session_id])
        rule.delete_instance()
        senders.renew(rule.session_id, rule.options.get("senders", ()))


def for_sessions(ids: Sequence[int], *, enabled: bool = True) -> dict[int, list[Rule]]:
    """Return the rules of sessions by session id, optionally the enabled ones only."""
    found: dict[int, list[Rule]] = defaultdict(list)
    for start in range(0, len(ids), _PART):
        part = list(ids[start : start + _PART])
        query = Rule.select().where(Rule.session.in_(part)).order_by(Rule.id)
        for rule in query.where(Rule.enabled) if enabled else query:
            found[rule.session_id].append(rule)
    return found


def listing(
    *,
    after: int | None = None,
    limit: int = 100,
    session: Session | None = None,
    enabled: bool | None = None,
    owner: str = "",
    sort: str = "id",
) -> Page:
    """Return rules with their sessions' names, by id; ``owner`` limits them to a user's."""

    def made() -> Any:
        query = _described()
        if owner:
            query = query.join(User).where(User.name == owner)
        if session is not None:
            query = query.where(Rule.session == session)
        return query if enabled is None else query.where(Rule.enabled == enabled)

    if enabled is not None or sort != "id":
        return sorting.fetch(made(), _ORDERS, sort, after=after, limit=limit)
    values = [*([owner] if owner else []), *([] if session is None else [session.id])]
    shape = (bool(owner), session is not None)
    query = paging.Query(made, Rule.id)
    return paging.fetch_prepared(query, _prepared, shape, values, after=after, limit=limit)


def with_digests(owner: str = "", rule: int | None = None, session: str = "") -> list[Any]:
    """Return (id, session's id, session's name, name) of the rules that have digests.

    ``owner`` and ``session`` limit them to a user's and a session's.
    """
    limits, values = "", ['%"digest"%']
    for column, value in (("u.name", owner), ("s.name", session)):
        if value:
            limits, values = f"{limits} AND {column} = ?", [*values, value]
    if rule is not None:
        limits += f" AND r.id = {int(rule)}"
    rows = execute(
        "SELECT r.id, s.id, s.name, r.name, r.options FROM rules AS r"
        " JOIN sessions AS s ON s.id = r.session_id JOIN users AS u ON u.id = s.user_id"
        f" WHERE r.options LIKE ?{limits}",
        *values,
    ).fetchall()
    found = [it[:4] for it in rows if json.loads(it[4]).get("digest")]
    # Few rules have any: asked for this order, SQLite looks up the rules of each session.
    return sorted(found, key=lambda it: (it[2], it[3]))


def _described() -> Any:
    return Rule.select(
        Rule.id,
        Rule.name,
        Session.name.alias("session"),
        Rule.sources,
        Rule.destinations,
        Rule.mode,
        Rule.enabled,
        Rule.filter,
        Rule.transform,
        Rule.sync,
        Rule.options,
        Rule.created_at,
        Rule.trouble,
    ).join(Session)


def counts() -> dict[str, int]:
    """Count rules: ``rules`` in all, ``enabled``, ``troubled``, and by mode."""
    found: dict[str, int] = {"rules": 0, "enabled": 0, "troubled": 0, **dict.fromkeys(MODES, 0)}
    cursor = execute(
        "SELECT mode, enabled, CASE WHEN trouble <> '' THEN 1 ELSE 0 END, COUNT(*)"
        " FROM rules GROUP BY 1, 2, 3"
    )
    for mode, enabled, troubled, number in cursor.fetchall():
        found["rules"] += number
        found["enabled"] += number if enabled else 0
        found["troubled"] += number if troubled else 0
        found[mode] = found.get(mode, 0) + number
    return found


def enabled_edges(*, owner: str = "") -> Iterator[tuple[str, str, list[str], list[str], Any]]:
    """Yield (session, rule, sources, destinations, filter) of all enabled rules.

    ``owner`` limits them to a user's.
    """
    query = (
        Rule.select(Session.name, Rule.name, Rule.sources, Rule.destinations, Rule.filter)
        .join(Session)
        .where(Rule.enabled)
    )
    if owner:
        query = query.join(User).where(User.name == owner)
    yield from query.tuples().iterator()


def count() -> int:
    """Return how many rules there are."""
    return int(Rule.select().count())


def paths_beginning(prefix: str) -> list[str]:
    """Return, for completion, rules as ``SESSION/NAME`` that begin with a text."""
    path: Any = Session.name.concat("/").concat(Rule.name)
    return names.completions(Rule.select(path).join(Session), path, prefix)


def _free_name(session: Session) -> str:
    taken = {name for (name,) in Rule.select(Rule.name).where(Rule.session == session).tuples()}
    number = len(taken) + 1
    while f"rule-{number}" in taken:
        number += 1
    return f"rule-{number}"


def _check_mode(mode: str) -> None:
    if mode not in MODES:
        raise UsageError(f"There is no mode '{printable(mode)}'; use copy or forward.")


def _has_others(rule: Rule) -> bool:
    """Return whether the session of a rule has other rules that are enabled."""
    query = Rule.select().where(
        (Rule.session == rule.session_id) & (Rule.id != rule.id) & Rule.enabled
    )
    return bool(query.exists())


def _renew_or_revise(ids: Iterable[int]) -> None:
    """Let sessions take what has changed of their rules, before it is stored.

    One that runs for as long as it should, and has rules, is told of it. Any other one gets
    a new revision: it is not left to sleep before it has run with rules that have come.
    """
    session_ids = set(ids)
    told: set[int] = set()
    for start in range(0, len(session_ids), _PART):
        part = sorted(session_ids)[start : start + _PART]
        changed = execute(
            f"UPDATE sessions SET content = content + 1 WHERE id IN ({', '.join('?' * len(part))})"
            f" AND {hibernation.WIDE_AWAKE} RETURNING id",
            *part,
        )
        told |= {int(it) for (it,) in changed.fetchall()}
    _revise(session_ids - told)


def _revise(ids: Iterable[int]) -> None:
    """Raise the revision of sessions whose rules changed."""
    session_ids = sorted(set(ids))
    for start in range(0, len(session_ids), _PART):
        Session.update(revision=Session.revision + 1).where(
            Session.id.in_(session_ids[start : start + _PART])
        ).execute()
