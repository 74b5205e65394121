"""What a person may do from a page: one table for buttons, dialogs, commands and the API."""

from __future__ import annotations

from collections.abc import Mapping

from afx.api.dashboard.action import Action, Field, Form, Preview
from afx.api.dashboard.bulk_actions import BULK_ACTIONS
from afx.api.dashboard.dead_actions import DEAD_ACTIONS
from afx.api.dashboard.doubt_actions import DOUBT_ACTIONS
from afx.api.dashboard.import_actions import IMPORT_ACTIONS
from afx.api.dashboard.labels import labels_of
from afx.api.dashboard.proxy_actions import PROXY_ACTIONS
from afx.api.dashboard.review_actions import REVIEW_ACTIONS
from afx.api.dashboard.rule_actions import RULE_ACTIONS
from afx.api.dashboard.schedule_actions import SCHEDULE_ACTIONS
from afx.api.dashboard.task_actions import TASK_ACTIONS
from afx.api.dashboard.user_actions import USER_ACTIONS
from afx.api.dashboard.webhook_actions import WEBHOOK_ACTIONS
from afx.errors import UsageError
from afx.operations import (
    audit_log,
    controls,
    coordinators,
    logins,
    placing,
    rebalancing,
    sessions,
    tokens,
    workers,
)
from afx.operations.context import Context
from afx.operations.requests import together


def _days(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise UsageError("The number of days is not a number; correct it.") from error


def _preview_drain(context: Context, target: str) -> Preview:
    found = placing.preview_drain(context, target)
    if not found.sessions:
        return Preview(f"{target} has no sessions.")
    to = ", ".join(f"{count} to {node}" for node, count in found.targets.items())
    text = f"{target} has {found.sessions} sessions: {to or 'none finds room'}."
    if found.fits:
        return Preview(f"{text} All fit.")
    first = "; ".join(f"{it.session}: {it.reason}" for it in found.undrainable[:3])
    return Preview(f"{text} {found.left} stay, for they find no room: {first}.")


def _add_session(context: Context, form: Form) -> str:
    name = form["name"]
    proxy = form.get("proxy", "")
    described = form.get("device", "").strip()
    device = logins.device_from_text(described) if described else ""
    login = form["login"].strip()
    sessions.add(context, name, form["user"], login, proxy=proxy, device=device)
    return f"session {name} is added"


_ALL = (
    Action(
        "session.add",
        "Import a session",
        "plus",
        sessions.add,
        lambda context, _, form: _add_session(context, form),
        "Its login is stored encrypted, and shown to nobody again. It runs as soon as a node has "
        "room.",
        "session import",
        "POST",
        "/sessions",
        (
            Field("name", "Name"),
            Field("user", "User", hint="Who owns it.", flag="--user"),
            Field("login", "Login", "secret", hint="A session string of Telethon."),
            Field(
                "proxy",
                "Proxy",
                required=False,
                hint="Through which alone it connects; empty: directly.",
                flag="--proxy",
            ),
            Field(
                "device",
                "Device",
                "file",
                required=False,
                hint="What it was signed in with: the JSON file beside the login, if there is one; "
                "--device FILE in a shell.",
            ),
        ),
        back="/sessions",
    ),
    Action(
        "session.pause",
        "Pause",
        "paused",
        sessions.pause,
        lambda context, target, _: sessions.pause(context, target),
        "It stops and misses nothing: it continues where it was when it is resumed.",
        "session pause",
        "POST",
        "/sessions/{}/pause",
    ),
    Action(
        "session.resume",
        "Resume",
        "running",
        sessions.resume,
        lambda context, target, _: sessions.resume(context, target),
        "It runs again, and forwards what it has missed. Its trouble is cleared.",
        "session resume",
        "POST",
        "/sessions/{}/resume",
    ),
    Action(
        "session.hibernate",
        "Hibernate",
        "hibernating",
        sessions.hibernate,
        lambda context, target, _: sessions.hibernate(context, target),
        "It disconnects, and wakes from time to time to forward what it has missed.",
        "session hibernate",
        "POST",
        "/sessions/{}/hibernate",
    ),
    Action(
        "session.wake",
        "Wake",
        "running",
        sessions.wake,
        lambda context, target, _: sessions.wake(context, target),
        "It runs again, stays awake, and forwards what it has missed.",
        "session wake",
        "POST",
        "/sessions/{}/wake",
    ),
    Action(
        "session.move",
        "Move",
        "moving",
        sessions.move,
        lambda context, target, form: sessions.move(context, target, form.get("node", "")),
        "It stops on its node, and then starts on another one.",
        "session move",
        "POST",
        "/sessions/{}/move",
        (Field("node", "To node", required=False, hint="Empty: any other node.", flag="--to"),),
    ),
    Action(
        "session.require",
        "Labels",
        "nodes",
        sessions.require,
        lambda context, target, form: sessions.require(
            context, target, labels_of(form.get("labels", ""))
        ),
        "It runs only on nodes that have all of these labels.",
        "session require",
        "PATCH",
        "/sessions/{}",
        (
            Field(
                "labels",
                "Labels of its node",
                "lines",
                required=False,
                hint="KEY=VALUE, one a line; empty: any node.",
                to="requires",
                shape="labels",
            ),
        ),
    ),
    Action(
        "session.remove",
        "Remove",
        "x",
        sessions.remove,
        lambda context, target, _: sessions.remove(context, target),
        "It stops; its login and its rules are deleted. To run the account again, someone must "
        "log in.",
        "session remove",
        "DELETE",
        "/sessions/{}",
        destroys=True,
        back="/sessions",
    ),
    Action(
        "worker.cordon",
        "Cordon",
        "cordoned",
        workers.cordon,
        lambda context, target, _: together(workers.cordon(context, [target])),
        "It gets no more sessions; those that it has stay.",
        "worker cordon",
        "POST",
        "/workers/{}/cordon",
    ),
    Action(
        "worker.uncordon",
        "Uncordon",
        "running",
        workers.uncordon,
        lambda context, target, _: together(workers.uncordon(context, [target])),
        "It gets sessions again. A drain ends.",
        "worker uncordon",
        "POST",
        "/workers/{}/uncordon",
    ),
    Action(
        "worker.drain",
        "Drain",
        "draining",
        workers.drain,
        lambda context, target, _: together(workers.drain(context, [target])),
        "All its sessions move to other nodes; it stays cordoned. No message is lost.",
        "worker drain",
        "POST",
        "/workers/{}/drain",
        preview=_preview_drain,
    ),
    Action(
        "worker.recycle",
        "Recycle",
        "refresh",
        workers.recycle,
        lambda context, target, form: workers.recycle(
            context,
            target,
            forced=bool(form.get("forced")),
            in_place=bool(form.get("in_place")),
        ),
        "It is emptied, restarted with the program that is installed now, and gets sessions again.",
        "worker recycle",
        "POST",
        "/workers/{}/recycle",
        (
            Field(
                "forced",
                "Now: its sessions stop and restart",
                "check",
                required=False,
                flag="--now",
            ),
            Field(
                "in_place",
                "In place: a new host process on the same node takes over its sessions",
                "check",
                required=False,
                flag="--in-place",
            ),
        ),
    ),
    Action(
        "worker.stop",
        "Stop",
        "stopped",
        workers.stop,
        lambda context, target, _: together(workers.stop(context, [target])),
        "It stops its sessions and ends; other nodes take them over. Only its machine can start "
        "it again.",
        "worker stop",
        "POST",
        "/workers/{}/stop",
        destroys=True,
    ),
    Action(
        "worker.remove",
        "Remove",
        "x",
        workers.remove,
        lambda context, target, _: together(workers.remove(context, [target])),
        "A node that has stopped is forgotten.",
        "worker remove",
        "DELETE",
        "/workers/{}",
        destroys=True,
        back="/nodes",
    ),
    Action(
        "coordinator.recycle",
        "Recycle coordinators",
        "refresh",
        coordinators.recycle,
        lambda context, *_: coordinators.recycle(context),
        "All coordinators restart: standbys first, then the leader. Sessions continue.",
        "coordinator recycle",
        "POST",
        "/coordinators/recycle",
    ),
    Action(
        "rebalance.apply",
        "Rebalance now",
        "moving",
        rebalancing.apply,
        lambda context, *_: rebalancing.apply(context),
        "The sessions of the plan move from full nodes to emptier ones.",
        "rebalance apply",
        "POST",
        "/rebalance-plan/apply",
    ),
    Action(
        "control.cancel",
        "Cancel",
        "x",
        controls.cancel,
        lambda context, target, _: controls.cancel(context, int(target)),
        "What it has done so far stays. A node that was being drained stays cordoned.",
        "control cancel",
        "DELETE",
        "/controls/{}",
    ),
    Action(
        "token.create",
        "New token",
        "plus",
        tokens.create,
        lambda context, _, form: tokens.create(
            context,
            form["name"],
            scopes=form["scopes"].split(),
            owner=form.get("owner", ""),
            days=_days(form["days"]),
        ),
        "Whoever has it may do what its scopes say, until it expires. It is shown once.",
        "token create",
        "POST",
        "/tokens",
        (
            Field("name", "Name", hint="What it is for."),
            Field(
                "scopes",
                "Scopes",
                "lines",
                hint="NOUN:VERB, such as session:read or *:read.",
                flag="--scope",
                value="*:read",
            ),
            Field(
                "owner",
                "Owner",
                required=False,
                hint="A user: only this user's sessions exist for it.",
                flag="--owner",
            ),
            Field("days", "Days", flag="--days", value="30", shape="number"),
        ),
        back="/tokens",
    ),
    Action(
        "token.revoke",
        "Revoke",
        "x",
        tokens.revoke,
        lambda context, target, _: tokens.revoke(context, target),
        "Within five seconds it is refused, for good. Browsers that signed in with it are "
        "signed out.",
        "token revoke",
        "DELETE",
        "/tokens/{}",
        destroys=True,
    ),
    Action(
        "audit.accept",
        "Accept the log",
        "check",
        audit_log.accept,
        lambda context, *_: audit_log.accept(context),
        "Find out first who changed it: what is missing does not come back. It needs a reason.",
        "audit accept",
        "POST",
        "/audit/accept",
        destroys=True,
    ),
)
ACTIONS: Mapping[str, Action] = {
    it.name: it
    for it in (
        *_ALL,
        *USER_ACTIONS,
        *BULK_ACTIONS,
        *RULE_ACTIONS,
        *IMPORT_ACTIONS,
        *DEAD_ACTIONS,
        *DOUBT_ACTIONS,
        *REVIEW_ACTIONS,
        *TASK_ACTIONS,
        *SCHEDULE_ACTIONS,
        *WEBHOOK_ACTIONS,
        *PROXY_ACTIONS,
    )
}
