"""What the command line can do, the API can, and the dashboard offers: each command's faces."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click
import typer

from afx.api.application import application
from afx.api.dashboard.actions import ACTIONS
from afx.api.routers import DASHBOARD
from cli import main

OF_THIS_MACHINE = """
    api start, completion, config check, config init, coordinator start, db backup, db downgrade,
    db restore, db upgrade, demo, redis status, redis stop, session login, top, up, verify,
    worker start
"""
"""Commands without an endpoint: they start, stop or look at things of the machine on which they
run. 'top' reads the stream of events; 'session login' asks a person for Telegram's code, and with
the login that it makes the API adds the session."""
ALONE = {it.strip() for it in OF_THIS_MACHINE.split(",")}
VIEWED = {
    # A command that reads: the endpoint of the same, and the page that shows it; empty: none.
    "status": ("show_status", "/"),
    "doctor": ("examine_installation", "/doctor"),
    "explain": ("explain_task_kind", "/tasks"),
    "coordinator status": ("show_coordinators", "/"),
    "worker list": ("list_workers", "/nodes"),
    "worker show": ("show_worker", "/nodes/w1"),
    "worker preview": ("preview_drain", "/nodes/w1"),
    "user list": ("list_users", "/users"),
    "user show": ("show_user", "/users/alice"),
    "session list": ("list_sessions", "/sessions"),
    "session show": ("show_session", "/sessions/a-1"),
    "session change list": ("list_session_changes", ""),
    "session change show": ("show_session_change", ""),
    "session change cancel": ("cancel_session_change", ""),
    "session explain": ("explain_placement", "/sessions/a-1/placement"),
    "proxy list": ("list_proxies", "/proxies"),
    "rule schema": ("show_rule_schema", "/rule-schema"),
    "rule list": ("list_rules", "/rules"),
    "rule show": ("show_rule", "/rules/1"),
    "rule export": ("export_rules", "/rules"),
    "rule edit": ("change_rule", "/rules/1"),
    "rule test": ("try_rules", "/rules/1"),
    "rule explain": ("explain_rule", "/rules/1"),
    "rule figures": ("show_rule_figures", "/rules/1"),
    "rule dead list": ("list_dead_letters", "/dead-letters"),
    "rule dead count": ("count_dead_letters", "/dead-letters"),
    "rule doubt list": ("list_doubts", "/rules/1"),
    "rule review list": ("list_held_messages", "/reviews"),
    "rule review show": ("show_held_message", "/reviews"),
    "rule review count": ("count_held_messages", "/reviews"),
    "rebalance plan": ("show_rebalance_plan", "/rebalance"),
    "scale check": ("show_recommendation", "/scaling"),
    "scale history": ("list_scaling", "/scaling"),
    "scale plan": ("show_recommendation", "/scaling"),
    "scale explain": ("show_recommendation", "/scaling"),
    "overflow list": ("list_overflow", "/overflow"),
    "overflow drain": ("list_overflow", "/overflow"),
    "task list": ("list_tasks", "/tasks"),
    "task show": ("show_task", "/tasks/1"),
    "task logs": ("list_task_steps", "/tasks/1"),
    "task kinds": ("list_task_kinds", "/tasks"),
    "task times": ("summarise_tasks", "/queues"),
    "task schedule list": ("list_schedules", "/schedules"),
    "queue list": ("list_queues", "/queues"),
    "queue show": ("show_queue", "/queues"),
    "control list": ("list_controls", "/controls"),
    "control show": ("show_control", "/controls/1"),
    "analytics workers": ("summarise_workers", "/analytics"),
    "analytics sessions": ("count_things", "/analytics"),
    "analytics export": ("export_metrics", "/analytics"),
    "analytics cluster": ("list_cluster_metrics", "/analytics/cluster"),
    "analytics forecast": ("forecast_cluster", "/analytics/cluster"),
    "analytics rules": ("summarise_rules", "/analytics"),
    "analytics tasks": ("summarise_tasks", "/queues"),
    "analytics scaling": ("summarise_scaling", "/scaling"),
    "audit list": ("list_audit", "/audit"),
    "audit verify": ("verify_audit", "/audit"),
    "token list": ("list_tokens", "/tokens"),
    "webhook list": ("list_webhooks", "/webhooks"),
    "webhook show": ("show_webhook", "/webhooks/hook"),
    "webhook deliveries": ("list_deliveries", "/webhooks/hook"),
    "config show": ("list_settings", "/doctor"),
    "db status": ("show_database", "/doctor"),
}


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[str]:
    if not hasattr(command, "list_commands"):
        yield " ".join(path)
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        inner = command.get_command(context, name)
        yield from commands(inner, (*path, name))


def all_commands() -> set[str]:
    found: Any = typer.main.get_command(main.app)
    return {it for it in commands(found) if not it.startswith("sandbox ")}


def test_each_command_has_an_action_a_view_or_a_reason_to_have_none() -> None:
    acted = {it.command for it in ACTIONS.values()}
    missing = all_commands() - acted - VIEWED.keys() - ALONE
    assert not missing, "give them an action (actions.py) or a view, or say here why not"


def test_no_reason_is_given_for_what_has_a_face() -> None:
    acted = {it.command for it in ACTIONS.values()}
    assert not ALONE & (acted | VIEWED.keys())
    assert ALONE | VIEWED.keys() <= all_commands()


def test_what_a_command_shows_has_an_endpoint() -> None:
    known = {
        it["operationId"]
        for methods in application().openapi()["paths"].values()
        for it in methods.values()
    }
    assert {endpoint for endpoint, _ in VIEWED.values()} <= known


def test_the_pages_that_show_something_are_there() -> None:
    routes: list[Any] = [it for router in DASHBOARD for it in router.routes]
    pages = {it.path.split("/")[1] for it in routes}
    assert {path.split("/")[1] for _, path in VIEWED.values() if path} <= pages
