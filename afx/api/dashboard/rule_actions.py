"""What a person may do from a page to rules."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import yaml

from afx.api.dashboard.action import Action, Field, Form, Preview
from afx.api.replies import dumps
from afx.errors import ChangedError
from afx.operations import rule_files, rules
from afx.operations.context import Context
from afx.operations.rules import RuleRow

_PARTS = ("filter", "transform", "sync")


def _lines(text: str) -> list[str]:
    return [it.strip() for it in text.splitlines() if it.strip()]


def _part(name: str, label: str, hint: str) -> Field:
    return Field(name, label, "yaml", required=False, hint=hint, flag=f"--{name}")


def _preview(context: Context, target: str) -> Preview:
    """Return what the rule is, for the form's fields."""
    rule = rules.show(context, target)
    values = {
        "sources": "\n".join(rule.sources),
        "destinations": "\n".join(rule.destinations),
        "mode": rule.mode,
        **{name: _as_yaml(getattr(rule, name)) for name in _PARTS},
    }
    return Preview(f"Rule {rule.path}.", _version(rule), values)


def _set(context: Context, target: str, form: Form) -> str:
    seen = form.get("seen", "")

    def unchanged() -> None:
        if _version(rules.show(context, target)) != seen:
            raise ChangedError("The rule was changed since the form was opened; open it again.")

    unchanged()
    doc, changed = rules.modify(
        replace(context, expects=unchanged),
        target,
        sources=_lines(form["sources"]),
        destinations=_lines(form["destinations"]),
        mode=form["mode"],
        filter=_read(form, "filter") or {},
        transform=_read(form, "transform") or [],
        sync=_read(form, "sync") or [],
    )
    return f"rule {doc.path} was changed" if changed else f"rule {doc.path} is as it was"


def _version(rule: RuleRow) -> str:
    """Return what differs when the rule does, its trouble aside."""
    content = dumps(replace(rule, trouble=""))
    return hashlib.blake2b(content, digest_size=12).hexdigest()


def _as_yaml(value: Any) -> str:
    return str(yaml.safe_dump(value, sort_keys=False, allow_unicode=True)) if value else ""


def _read(form: Form, name: Any) -> Any:
    text = form.get(name, "")
    return rule_files.read_part(text, name, name) if text.strip() else None


RULE_ACTIONS = (
    Action(
        "rule.add",
        "New rule",
        "plus",
        rules.add,
        lambda context, _, form: rules.add(
            context,
            form["session"],
            sources=_lines(form["sources"]),
            destinations=_lines(form["destinations"]),
            mode=form["mode"],
            name=form.get("name", ""),
        ),
        "Messages of the source chats are forwarded from now on.",
        "rule add",
        "POST",
        "/rules",
        (
            Field("session", "Session"),
            Field(
                "sources", "From", "lines", hint="Chats, one a line: @name or an id.", flag="--from"
            ),
            Field("destinations", "To", "lines", hint="Chats, one a line.", flag="--to"),
            Field("mode", "Mode", "select", ("copy", "forward"), flag="--mode", value="copy"),
            Field("name", "Name", required=False, hint="Empty: one is made.", flag="--name"),
        ),
        back="/rules",
    ),
    Action(
        "rule.set",
        "Edit",
        "rules",
        rules.modify,
        _set,
        "A running session uses it within a second; with other chats it restarts, and misses "
        "nothing.",
        "rule set",
        "PATCH",
        "/rules/{}",
        (
            Field("sources", "From", "lines", hint="Chats, one a line.", flag="--from"),
            Field("destinations", "To", "lines", hint="Chats, one a line.", flag="--to"),
            Field("mode", "Mode", "select", ("copy", "forward"), flag="--mode", value="copy"),
            _part("filter", "Filter", "Which messages, as a rule file has it; empty: all."),
            _part("transform", "Transforms", "What is changed of copies; empty: nothing."),
            _part("sync", "Sync", "What is followed: edits, deletes, pins; empty: nothing."),
        ),
        preview=_preview,
    ),
    Action(
        "rule.enable",
        "Enable",
        "running",
        rules.set_enabled,
        lambda context, target, _: rules.set_enabled(context, target, True),
        "It forwards messages that come from now on.",
        "rule enable",
        "PATCH",
        "/rules/{}",
    ),
    Action(
        "rule.disable",
        "Disable",
        "paused",
        rules.set_enabled,
        lambda context, target, _: rules.set_enabled(context, target, False),
        "It forwards nothing until it is enabled.",
        "rule disable",
        "PATCH",
        "/rules/{}",
    ),
    Action(
        "rule.remove",
        "Remove",
        "x",
        rules.remove,
        lambda context, target, _: rules.remove(context, target),
        "It forwards nothing any more.",
        "rule remove",
        "DELETE",
        "/rules/{}",
        destroys=True,
        back="/rules",
    ),
)
