"""Making rules, from a page, of what another forwarder had."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from afx.api.dashboard.action import Action, Field, Form
from afx.operations import rule_files, rule_imports
from afx.operations.context import Context
from afx.operations.rule_imports import Note

_WHERE = "the form"
_NOTES = 5
"""Notes that are told; 'afx rule import' prints all of them."""


def _import(context: Context, _: str, form: Form) -> str:
    origin = next((it for it in rule_imports.ORIGINS if it == form.get("origin")), None)
    data = form["text"].encode()
    found = rule_imports.convert(context, data, _WHERE, form["session"].strip(), origin)
    text = rule_imports.rule_file(found).encode()
    changes = rule_files.plan(context, text, _WHERE, prune=False)
    kinds = Counter(it.kind for it in changes)
    parts = [f"{kinds[it]} to {it}" for it in ("add", "change") if kinds[it]]
    rules = f"{len(found.rules)} rule{'' if len(found.rules) == 1 else 's'} of {found.origin}"
    said = f"{rules}: {', '.join(parts) or 'nothing differs'}{_told(found.notes)}"
    if not form.get("apply"):
        return f"nothing was changed; {said}"
    if not form.get("replace"):
        rule_imports.check_replaced(changes)
    if changes:
        rule_files.apply(context, changes, _WHERE)
    return f"done; {said}"


def _told(notes: Sequence[Note]) -> str:
    """Return the first of what is not carried over."""
    found = [f". {it.field}: {it.message}" if it.field else f". {it.message}" for it in notes]
    more = len(found) - _NOTES
    return "".join(found[:_NOTES]) + (f". And {more} more notes" if more > 0 else "")


IMPORT_ACTIONS = (
    Action(
        "rule.import",
        "Import",
        "down",
        rule_files.apply,
        _import,
        "Rules are made of the file of tgcf or telemirror. What cannot be carried over is told; a "
        "rule that would forward other messages without it is made disabled.",
        "rule import",
        "POST",
        "/rule-imports",
        (
            Field(
                "text",
                "File",
                "file",
                hint="A tgcf.config.json, a mirror.config.yml, or an .env of telemirror.",
                flag="-",
            ),
            Field("session", "Session", hint="Whose rules they are to be.", flag="--session"),
            Field(
                "origin",
                "Of",
                "select",
                ("", *rule_imports.ORIGINS),
                required=False,
                hint="Automatic: as the file looks.",
                flag="--from",
            ),
            Field(
                "apply",
                "Make them rules now; else it is only said what would change",
                "check",
                required=False,
                flag="--apply",
                to="",
            ),
            Field(
                "replace",
                "Also give rules that are there already other chats",
                "check",
                required=False,
                flag="--replace",
                to="",
            ),
        ),
    ),
)
