"""Whether accounts can do what changed rules ask of them: asked of Telegram, before they change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from afx.errors import UsageError
from afx.forwarding.chat_names import is_invite
from afx.forwarding.outputs import is_output_text
from afx.forwarding.rule_docs import Change
from afx.forwarding.topics import chat_of
from afx.operations import tasks
from afx.operations.context import Context, operation
from afx.operations.task_requests import TaskRequest, submit
from afx.operations.waiting import leader_known

_MOST_CHATS = 200


@dataclass(slots=True, frozen=True)
class Needed:
    """What rules ask of one session's account."""

    session: str
    reads: dict[str, None] = field(default_factory=dict)
    posts: dict[str, None] = field(default_factory=dict)
    strangers: dict[str, None] = field(default_factory=dict)
    """Those that it posts to though they may not know it."""


@dataclass(slots=True, frozen=True)
class Access:
    """What a check has found, a line for each: sentences about an account and a chat."""

    missing: tuple[str, ...]
    """What an account cannot do."""
    unknown: tuple[str, ...]
    """What could not be checked, and why."""


def needed(changes: Sequence[Change]) -> list[Needed]:
    """Return what added and changed rules that are enabled ask of each session.

    A rule's session reads its sources, and posts to its destinations unless it has senders: then
    each of these does.
    """
    found: dict[str, Needed] = {}

    def of(session: str) -> Needed:
        return found.setdefault(session, Needed(session))

    for it in changes:
        if it.after is None or not it.after.enabled:
            continue
        of(it.after.session).reads.update(_chats(it.after.sources))
        for session in it.after.options.get("senders") or [it.after.session]:
            of(session).posts.update(_chats(it.after.destinations))
            if it.after.options.get("strangers"):
                of(session).strangers.update(_chats(it.after.destinations))
    return list(found.values())


@operation("rule:write", owned=True)
def check(context: Context, changes: Sequence[Change], *, timeout: float) -> Access:
    """Ask the account of each session whether it can do what rules ask of it.

    That takes tasks (``rule.check``, and the scope ``task:write``), a leader, and sessions that
    run: what these do not answer within ``timeout`` seconds is unknown. A dry run asks nothing.
    """
    wanted = needed(changes)
    if not wanted or context.dry_run:
        return Access((), ())
    if not leader_known(context):
        return Access((), ("no coordinator leads, so no account could be asked",))
    running: dict[int, str] = {}
    unknown: list[str] = []
    for it in wanted:
        try:
            for part in _parts(it):
                request = TaskRequest(
                    kind="rule.check",
                    arguments=part,
                    sessions=(it.session,),
                    start_within_seconds=timeout,
                )
                running.update(dict.fromkeys(submit(context, request).ids, it.session))
        except UsageError as error:
            unknown.append(f"{it.session} was not asked: {error}")
    missing: list[str] = []
    *_, rows = tasks.watch(context, list(running), timeout=timeout)
    for row in rows:
        session, result = running[row.task.id], row.result
        if row.task.state == "succeeded" and isinstance(result, dict):
            missing += [f"{session} cannot {it}" for it in result.get("problems", ())]
        else:
            why = row.task.error or "its session did not answer in time; does it run?"
            unknown.append(f"{session} was not asked: {why}")
    return Access(tuple(missing), tuple(unknown))


def _chats(names: Iterable[str]) -> dict[str, None]:
    """Return the chats of sources or destinations, without invite links: an account may join."""
    chats = (chat_of(it) for it in names if not is_output_text(it))
    return dict.fromkeys(it for it in chats if not is_invite(it))


def _parts(it: Needed) -> Iterator[dict[str, list[str]]]:
    """Yield the chats as arguments of tasks, of a bounded size."""
    reads, posts = list(it.reads), list(it.posts)
    for at in range(0, max(len(reads), len(posts)), _MOST_CHATS):
        part = {"reads": reads[at : at + _MOST_CHATS], "posts": posts[at : at + _MOST_CHATS]}
        if allowed := [chat for chat in part["posts"] if chat in it.strangers]:
            part["to_strangers"] = allowed
        yield part
