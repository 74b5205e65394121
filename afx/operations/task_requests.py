"""Submitting tasks: the row is written with its audit entry, and the leader publishes it."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from pydantic import ValidationError

from afx.cluster.task_jobs import PRIORITIES
from afx.errors import ConflictError, ForbiddenError, UsageError
from afx.operations.changes import change
from afx.operations.context import Context, operation
from afx.operations.leader import wake_leader
from afx.operations.tasks import owner_id
from afx.tasks.kinds import KINDS
from afx.tasks.kinds.base import Kind
from models.base import utc_now
from models.storage import sessions, task_quotas, task_targets, tasks, users
from models.storage.task_targets import Target
from models.storage.tasks import NewTask

_MOST_BYTES = 32 * 1024


@dataclass(slots=True, frozen=True, kw_only=True)
class TaskRequest:
    """What is to be done, and for which sessions."""

    kind: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    sessions: Sequence[str] = ()
    user: str = ""
    """For all sessions of a user."""
    every_session: bool = False
    priority: str = ""
    """Empty: the kind's own, and ``premium`` for premium users."""
    unique_key: str = ""
    """While a task of it has not finished, there is no other one for the same session."""
    delay_seconds: float = 0.0
    start_within_seconds: float = 0.0
    """A task that has not started after so long is cancelled; 0: it may wait."""
    keep_newest: bool = False
    """A task of the same unique key that no node has yet is replaced by this one."""


@dataclass(slots=True, frozen=True)
class Submitted:
    """The tasks that were queued."""

    ids: tuple[int, ...]
    batch: int | None
    """The number under which several are known together."""


@operation("task:write", owned=True)
def submit(context: Context, request: TaskRequest) -> Submitted:
    """Queue a task for each of the sessions, or one that needs none.

    Raises UsageError for an unknown kind, arguments outside its schema, and sessions that
    do not exist.
    """
    prepared = prepare(context, request)
    kind, text, targets = prepared.kind, prepared.text, prepared.targets
    new = _new_tasks(context, kind, request, text, targets)
    with change(context, "task.submit", f"task/{kind.name}") as details:
        if request.keep_newest:
            _replace(new)
        task_quotas.check(Counter(it.user for it in new))
        ids = tasks.submit(new, context.actor.name)
        details.update(
            {
                "kind": kind.name,
                "tasks": len(ids),
                "first": ids[0],
                "sessions": [it.name for it in targets],
            }
        )
        if not kind.is_sealed:
            details["arguments"] = dict(request.arguments)
    wake_leader(context)
    return Submitted(tuple(ids), ids[0] if len(ids) > 1 else None)


@dataclass(slots=True, frozen=True)
class Prepared:
    """A request whose parts are valid."""

    kind: Kind
    text: str
    """The arguments as they are stored."""
    targets: Sequence[Target]


def prepare(context: Context, request: TaskRequest) -> Prepared:
    """Return what a request asks for; raises UsageError for what is wrong in it."""
    kind = _kind(request.kind)
    if kind.scope:
        context.require(kind.scope, owned=True)
    _check_priority(context, request.priority)
    text = _arguments(context, kind, request.arguments)
    return Prepared(kind, text, _targets(context, kind, request))


def _check_priority(context: Context, priority: str) -> None:
    if priority and priority not in PRIORITIES:
        raise UsageError(f"A priority is one of {', '.join(PRIORITIES)}; correct it.")
    if priority == "premium" and context.actor.owner:
        raise ForbiddenError("The queue 'premium' is for premium users' tasks; leave it out.")


def parse_pairs(kind_name: str, pairs: Sequence[str]) -> dict[str, Any]:
    """Return arguments that were given as ``name=value``, as the kind's schema reads them.

    A name that is given more than once, or whose type is a list, is a list; a value that
    begins with ``[`` or ``{`` is JSON. Raises UsageError for what is none of these.
    """
    kind = _kind(kind_name)
    schema = kind.arguments.model_json_schema().get("properties", {})
    found: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise UsageError("An argument is given as NAME=VALUE; correct it.")
        if name not in schema:
            raise UsageError(
                f"Kind {kind.name} has no argument '{name[:40]}'; it has: "
                f"{', '.join(schema) or 'none'}."
            )
        parsed: Any = value
        if value[:1] in ("[", "{"):
            with contextlib.suppress(ValueError, RecursionError):
                parsed = json.loads(value)
        is_list = schema[name].get("type") == "array"
        if is_list and not isinstance(parsed, list):
            found.setdefault(name, []).append(parsed)
        elif name in found:
            raise UsageError(f"The argument '{name}' is given twice; give it once.")
        else:
            found[name] = parsed
    return found


def _kind(name: str) -> Kind:
    kind = KINDS.get(name)
    if kind is None:
        raise UsageError(f"There is no such kind of task; it is one of {', '.join(sorted(KINDS))}.")
    return kind


def _arguments(context: Context, kind: Kind, given: Mapping[str, Any]) -> str:
    """Return arguments as they are stored; sealed if the kind's hold content."""
    try:
        text = kind.arguments.model_validate(dict(given)).model_dump_json()
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(it) for it in first["loc"]) or "arguments"
        what = first["msg"].removeprefix("Value error, ")
        raise UsageError(
            f"An argument of {kind.name} is wrong: {place}: {what}; "
            "'afx task kinds' shows the arguments."
        ) from error
    if len(text.encode()) > _MOST_BYTES:
        raise UsageError(f"The arguments have more than {_MOST_BYTES // 1024} KiB; split the task.")
    if kind.is_sealed and not context.dry_run:
        return context.servers.vault().seal_arguments(text, kind=kind.name)
    return text


def _targets(context: Context, kind: Kind, request: TaskRequest) -> list[Target]:
    owner = context.actor.owner
    chosen = bool(request.sessions) + bool(request.user) + request.every_session
    if not kind.needs_session:
        if chosen:
            raise UsageError(f"A task of kind {kind.name} needs no session; leave it out.")
        return []
    if chosen != 1:
        raise UsageError("Name the sessions, or a user, or all sessions: one of them.")
    if request.sessions:
        ids = {int(sessions.find(it, owner=owner).id) for it in request.sessions}
        found = task_targets.of_sessions(sorted(ids))
    elif request.user:
        context.require_owner(request.user)
        found = task_targets.of_user(int(users.find(request.user, owner=owner).id))
    elif owner:
        found = task_targets.of_user(owner_id(context))
    else:
        found = task_targets.of_user(None)
    if not found:
        raise UsageError("There is no session to do this for; nothing was queued.")
    return found


def _new_tasks(
    context: Context, kind: Kind, request: TaskRequest, text: str, targets: Sequence[Target]
) -> list[NewTask]:
    if request.keep_newest and not request.unique_key:
        raise UsageError("Only a task with a unique key can replace another one; give a key.")
    if len(request.unique_key) > 100 or not request.unique_key.isprintable():
        raise UsageError("A unique key has at most 100 printable characters; shorten it.")
    user = owner_id(context) or 0
    now = utc_now()
    common: dict[str, Any] = {
        "kind": kind.name,
        "arguments": text,
        "max_attempts": kind.max_attempts,
        "timeout_seconds": kind.timeout_seconds,
        "run_after": now + timedelta(seconds=request.delay_seconds)
        if request.delay_seconds
        else None,
        "start_by": now + timedelta(seconds=request.start_within_seconds)
        if request.start_within_seconds
        else None,
    }
    if not targets:
        key = f"{kind.name}::{request.unique_key}" if request.unique_key else None
        priority = PRIORITIES.index(request.priority or kind.priority)
        return [NewTask(**common, user=user, priority=priority, unique_key=key)]
    return [
        NewTask(
            **common,
            session=it.session,
            user=it.user,
            priority=_priority(kind, request, it),
            unique_key=f"{kind.name}:{it.session}:{request.unique_key}"
            if request.unique_key
            else None,
        )
        for it in targets
    ]


def _priority(kind: Kind, request: TaskRequest, target: Target) -> int:
    if request.priority:
        return PRIORITIES.index(request.priority)
    is_premium = target.tier == "premium" and kind.priority != "low"
    return PRIORITIES.index("premium" if is_premium else kind.priority)


def _replace(new: Sequence[NewTask]) -> None:
    for it in new:
        older = tasks.unfinished_of_key(it.unique_key) if it.unique_key else None
        if older is not None and not tasks.cancel_unpublished(older, "replaced by a newer one"):
            raise ConflictError(
                f"Task {older} of that key is with a node already; submit the new one when it "
                "has finished."
            )
