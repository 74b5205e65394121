"""What a person may do from a page to rules."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import replace
from typing import Any, Literal

import yaml

from afx.api.dashboard.action import Action, Field, Form, Preview, lines_of
from afx.api.replies import dumps
from afx.errors import ChangedError
from afx.operations import rule_files, rules
from afx.operations.context import Context
from afx.operations.rules import RuleRow

_PARTS = ("filter", "transform", "sync", "options")
_NAMED = 5
"""Rules of a file that are named when it is applied."""


def _part(name: str, label: str, hint: str) -> Field:
    shape: Literal["list", "yaml"] = "list" if name in ("transform", "sync") else "yaml"
    return Field(name, label, "yaml", required=False, hint=hint, flag=f"--{name}", shape=shape)


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
        sources=lines_of(form["sources"]),
        destinations=lines_of(form["destinations"]),
        mode=form["mode"],
        filter=_read(form, "filter") or {},
        transform=_read(form, "transform") or [],
        sync=_read(form, "sync") or [],
        options=_read(form, "options") or {},
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


_FIELDS = (
    _part("filter", "Filter", "Which messages, as a rule file has it; empty: all."),
    _part("transform", "Transforms", "What is changed of copies; empty: nothing."),
    _part("sync", "Sync", "What is followed: edits, deletes, pins, topics; empty: nothing."),
    _part("options", "Options", "What else it does, such as dedupe: 6h; empty: nothing."),
)
_TO = Field(
    "destinations",
    "To",
    "lines",
    hint="One a line: chats, and outputs: webhook:URL, file:NAME.jsonl, rss:NAME.xml.",
    flag="--to",
)


def _apply(context: Context, _: str, form: Form) -> str:
    changes = rule_files.plan(
        context, form["text"].encode(), "the form", prune=bool(form.get("prune"))
    )
    kinds = Counter(it.kind for it in changes)
    parts = [f"{kinds[it]} to {it}" for it in ("add", "change", "remove") if kinds[it]]
    said = ", ".join(parts) or "nothing differs"
    first = ", ".join(it.path for it in changes[:_NAMED])
    more = f" and {len(changes) - _NAMED} more" if len(changes) > _NAMED else ""
    named = f": {first}{more}" if changes else ""
    if form.get("dry"):
        return f"nothing was changed; {said}{named}"
    if changes:
        rule_files.apply(context, changes, "the form")
    return f"done; {said}{named}"


RULE_ACTIONS = (
    Action(
        "rule.add",
        "New rule",
        "plus",
        rules.add,
        lambda context, _, form: rules.add(
            context,
            form["session"],
            sources=lines_of(form["sources"]),
            destinations=lines_of(form["destinations"]),
            mode=form["mode"],
            name=form.get("name", ""),
            filter=_read(form, "filter"),
            transform=_read(form, "transform"),
            sync=_read(form, "sync"),
            options=_read(form, "options"),
        ),
        "Messages of the source chats are forwarded from now on.",
        "rule add",
        "POST",
        "/rules",
        (
            Field("session", "Session"),
            Field(
                "sources",
                "From",
                "lines",
                hint="Chats, one a line: @name, link, id or me.",
                flag="--from",
            ),
            _TO,
            Field("mode", "Mode", "select", ("copy", "forward"), flag="--mode", value="copy"),
            Field("name", "Name", required=False, hint="Empty: one is made.", flag="--name"),
            *_FIELDS,
        ),
        back="/rules",
    ),
    Action(
        "rule.set",
        "Edit",
        "rules",
        rules.modify,
        _set,
        "A running session uses it within a second, without a restart.",
        "rule set",
        "PATCH",
        "/rules/{}",
        (
            Field("sources", "From", "lines", hint="Chats, one a line.", flag="--from"),
            _TO,
            Field("mode", "Mode", "select", ("copy", "forward"), flag="--mode", value="copy"),
            *_FIELDS,
        ),
        preview=_preview,
    ),
    Action(
        "rule.apply",
        "Apply a file",
        "rules",
        rule_files.apply,
        _apply,
        "Rules of the file are added or changed; others stay. All or nothing: a mistake anywhere "
        "changes no rule.",
        "rule apply",
        "POST",
        "/rules/apply",
        (
            Field("text", "Rules", "file", hint="As 'afx rule export' prints them.", flag="-f"),
            Field(
                "prune",
                "Also remove rules of the file's sessions that it does not name",
                "check",
                required=False,
                flag="--prune",
            ),
            Field(
                "dry",
                "Only say what it would change",
                "check",
                required=False,
                flag="--dry-run",
                value="yes",
                dry_run=True,
            ),
        ),
    ),
    Action(
        "rule.secret",
        "Secrets of outputs",
        "key",
        rules.output_secrets,
        lambda context, target, _: rules.output_secrets(context, target),
        "Shows by what the requests to its webhooks are signed. The audit log has who asked.",
        "rule secret",
        "POST",
        "/rules/{}/secrets",
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
        body=lambda _: {"enabled": True},
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
        body=lambda _: {"enabled": False},
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
