"""What the command line takes, the API takes: each option has a field, or a reason to have none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import click
import typer

from afx.api.application import application
from afx.api.dashboard.actions import ACTIONS
from cli import main

from .test_faces import ALONE, VIEWED

OF_A_TERMINAL = {
    "json": "each answer is JSON",
    "watch": "the stream of events tells when to ask again",
    "chart": "the dashboard draws",
    "csv": "a program makes CSV of JSON; /analytics/export has the samples",
    "yes": "a program is not asked; the dashboard asks for the typed name",
    "wait": "'Prefer: wait=' is a header",
    "timeout": "'Prefer: wait=' has the seconds",
    "follow": "the stream of events, or 'Prefer: wait='",
    "redis_url": "the API has its servers",
    "database_url": "the API has its servers",
    "after": "a cursor",
    "limit": "each list has a limit",
    "all": "a list is read by its cursors; each request names what it changes",
}
"""Options that mean something to a terminal only, wherever they are."""
OF_ONE_COMMAND = {
    "session import --file": "a file is read where it is; its login is what is sent",
    "session import --result": "a list is read where it is; each session is a request",
    "rule import --apply": "POST /rules/apply takes the rules that the import returns",
    "rule import --dry-run": "the import changes nothing; POST /rules/apply takes it",
    "rule import --reason": "the import changes nothing; POST /rules/apply takes it",
    "rule import --replace": "the plan of POST /rules/plan shows which rules would be changed",
    "rule list --figures": "GET /rule-figures has them",
    "rule apply --file": "its text is the body",
    "rule apply --offline": "POST /rules/apply asks no account; tasks of the kind rule.check do",
    "rule doubt decide --not-sent": "a copy of 0",
    "rule test --file": "its message is the body",
    "task submit --file": "its messages are among the arguments",
    "worker drain --label": "GET /workers takes labels; each node has a control of its own",
    "worker recycle --label": "GET /workers takes labels; each node has a control of its own",
    "scale check --exec": "a command of the machine that asks",
    "proxy check --sandbox": "the sandbox runs on the machine of the shell",
    "task cancel --batch": "DELETE /batches/ID",
}
SAME = {
    # The option: what the API calls it.
    "session bulk --to": "node",
    "session bulk --all": "everything",
    "session bulk --trouble": "troubled",
    "session list --trouble": "troubled",
    "session move --to": "node",
    "session set --no-proxy": "direct",
    "worker recycle --now": "forced",
    "proxy add --require": "requires",
    "rule add --from": "sources",
    "rule add --to": "destinations",
    "rule set --from": "sources",
    "rule set --to": "destinations",
    "rule import --from": "origin",
    "rule dead list --kind": "reason",
    "rule dead retry --id": "ids",
    "rule dead retry --kind": "reason",
    "rule dead drop --id": "ids",
    "rule dead drop --kind": "reason",
    "rule doubt decide --from": "source",
    "rule doubt decide --to": "destination",
    "rule review approve --id": "ids",
    "rule review reject --id": "ids",
    "task submit --arg": "arguments",
    "task submit --session": "sessions",
    "task submit --all": "every_session",
    "task submit --unique": "unique_key",
    "task submit --newest": "keep_newest",
    "task submit --delay": "delay_seconds",
    "task submit --within": "start_within_seconds",
    "task schedule add --arg": "arguments",
    "task schedule add --session": "sessions",
    "task schedule add --all": "every_session",
    "control list --open": "open_only",
    "user tasks --share": "task_share",
    "user tasks --limit": "task_limit",
    "token create --scope": "scopes",
    "webhook add --kind": "kinds",
    "rule figures --since": "hours",
}
TIMES = "analytics workers, analytics export, analytics cluster, analytics forecast"
TIMES = f"{TIMES}, analytics rules, analytics tasks, analytics scaling"
SAME |= {f"{it} --since": "hours" for it in TIMES.split(", ")}


def options(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """Yield each command with each of its options, by its longest name."""
    if not hasattr(command, "list_commands"):
        for it in command.params:
            if it.param_type_name == "option" and "--help" not in it.opts:
                yield " ".join(path), max(it.opts, key=len).removeprefix("--").replace("-", "_")
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        yield from options(command.get_command(context, name), (*path, name))


def all_options() -> set[tuple[str, str]]:
    found: Any = typer.main.get_command(main.app)
    return {it for it in options(found) if not it[0].startswith("sandbox ") and it[0] not in ALONE}


def fields() -> Mapping[str, set[str]]:
    """Return what each operation of the API takes, by its id, and by its method and path."""
    schema = application().openapi()
    found: dict[str, set[str]] = {}
    for path, methods in schema["paths"].items():
        for method, it in methods.items():
            names = {given["name"] for given in it.get("parameters", ()) if given["in"] != "path"}
            for content in it.get("requestBody", {}).get("content", {}).values():
                body = content["schema"]
                while reference := body.get("$ref"):
                    body = schema["components"]["schemas"][reference.rpartition("/")[2]]
                names |= set(body.get("properties", ()))
                if it["operationId"] == "change_sessions":
                    names |= set(schema["components"]["schemas"]["Filter"]["properties"])
            found[it["operationId"]] = names
            place = path.removeprefix("/api/v1")
            found[f"{method.upper()} {'{}'.join(_between(place))}"] = names
    return found


def _between(path: str) -> list[str]:
    parts = path.split("{")
    return [parts[0], *(it.partition("}")[2] for it in parts[1:])]


def taken(command: str, known: Mapping[str, set[str]]) -> set[str]:
    """Return what the endpoint of a command takes."""
    if command in VIEWED:
        return known[VIEWED[command][0]]
    acts = [it for it in ACTIONS.values() if it.command == command]
    return set().union(*(known[f"{it.method} {it.path}"] for it in acts))


def test_each_option_of_a_command_has_a_field_of_the_api_or_a_reason_to_have_none() -> None:
    known = fields()
    missing = []
    for command, option in sorted(all_options()):
        name = f"{command} --{option.replace('_', '-')}"
        has = taken(command, known)
        if SAME.get(name, option) in has or name in OF_ONE_COMMAND:
            continue
        if name not in SAME and option in OF_A_TERMINAL:
            continue
        missing.append(name)
    assert not missing, "give the endpoint a field, or say here what it is called, or why not"


def test_what_is_said_of_options_is_said_of_options_that_are_there() -> None:
    there = {f"{command} --{option.replace('_', '-')}" for command, option in all_options()}
    assert not (SAME.keys() | OF_ONE_COMMAND.keys()) - there
    assert set(OF_A_TERMINAL) <= {option for _, option in all_options()}


def test_no_reason_is_given_for_an_option_that_has_a_field() -> None:
    known = fields()
    named = {name: name.rpartition(" --") for name in OF_ONE_COMMAND}
    assert not [
        name
        for name, (command, _, option) in named.items()
        if option.replace("-", "_") in taken(command, known)
    ]


FILTERS = "health, label, node, prefix, state, tier, trouble, user"
OF_A_TARGET = {
    # What the dialog of an action does not ask for: the page from which it is chosen knows it.
    **{f"session bulk --{it}": "the filter of the list" for it in FILTERS.split(", ")},
    "proxy check --pool": "a row",
    "rule dead drop --id": "a row",
    "rule dead drop --kind": "a row",
    "rule dead retry --id": "a row",
    "rule dead retry --kind": "a row",
    "rule review approve --id": "a row",
    "rule review approve --until": "what the page has shown",
    "rule review reject --id": "a row",
    "rule review reject --until": "what the page has shown",
    "session import --device": "the form has the file's text",
    "session import --file": "the form has the login",
    "session import --result": "one session at a time",
    "rule apply --file": "the form has the text",
    "rule apply --offline": "the form asks no account",
    "rule doubt decide --from": "a row",
    "rule doubt decide --message": "a row",
    "rule doubt decide --not-sent": "an action of its own",
    "rule doubt decide --to": "a row",
    "task cancel --batch": "the list of a batch has an action of its own",
    "task submit --file": "its messages are among the arguments",
    "worker drain --label": "one node at a time",
    "worker recycle --label": "one node at a time",
    "proxy check --sandbox": "the sandbox runs on the machine of the shell",
}


def test_each_option_of_an_action_s_command_is_in_its_dialog() -> None:
    """So that the dashboard offers what the command line does."""
    by_command: dict[str, set[str]] = {}
    for it in ACTIONS.values():
        flags = {field.flag.removeprefix("--").replace("-", "_") for field in it.fields}
        by_command.setdefault(it.command, set()).update(flags)
    missing = {
        f"{command} --{option.replace('_', '-')}"
        for command, option in all_options()
        if command in by_command
        and option not in {*by_command[command], *OF_A_TERMINAL, "dry_run", "reason"}
    }
    assert missing == OF_A_TARGET.keys()
