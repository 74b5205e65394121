"""What a form asks for, as a request of the API that a shell sends."""

from __future__ import annotations

import json
import shlex
from typing import Any, cast
from urllib.parse import quote, urlencode

from afx.api.dashboard.action import Action, Field, Form, lines_of
from afx.errors import AfxError
from afx.operations import rule_files, task_requests

_EMPTY: dict[str, Any] = {"yaml": {}, "list": [], "labels": {}}
_SECRET = ("secret", "file")


def curl_of(action: Action, target: str, form: Form, reason: str = "") -> str:
    """Return the request that a form means; a secret, and what a file has, is only named in it."""
    path = action.path.format(quote(action.place(target) if target else "", safe=""))
    query = {"reason": reason} if reason else {}
    if any(it.dry_run and form.get(it.name, it.value) for it in action.fields):
        query["dry_run"] = "true"
    words = [f"curl -X {action.method}"]
    if action.method in ("PATCH", "DELETE"):
        words.append("-H 'if-match: *'")
    words.append('-H "authorization: Bearer $AFX_TOKEN"')
    if body := body_of(action, target, form):
        text = json.dumps(body, ensure_ascii=False)
        words.append(f"-H 'content-type: application/json' -d {shlex.quote(text)}")
    address = f"ADDRESS/api/v1{path}"
    words.append(f"'{address}?{urlencode(query, quote_via=quote)}'" if query else address)
    return " ".join(words)


def body_of(action: Action, target: str, form: Form) -> dict[str, Any]:
    """Return the body of the request; what is wrong in a field is in it as it was written."""
    body = dict(action.body(target)) if target else {}
    for it in action.fields:
        if it.to == "" or it.dry_run:
            continue
        text = form.get(it.name, it.value)
        cleared = action.method == "PATCH" and it.shape in _EMPTY
        if text.strip() or cleared or (it.required and it.kind in _SECRET):
            body[it.to or it.name] = _value(it, text, form)
    seen = form.get("seen", "")
    if action.seen_until and seen.isascii() and seen.isdecimal():
        body["until"] = int(seen)
    return body


def _value(it: Field, text: str, form: Form) -> Any:
    if it.kind == "check":
        return True
    if it.kind in _SECRET:
        return f"<{it.label}>"
    if not text.strip():
        return _EMPTY[it.shape]
    try:
        if it.kind == "yaml":
            return rule_files.read_part(text, it.name, cast("Any", it.name))
        if it.kind == "pairs":
            return task_requests.parse_pairs(form.get("kind", ""), lines_of(text))
        if it.shape == "number":
            return float(text) if "." in text else int(text)
    except (AfxError, ValueError):
        return text
    if it.shape == "labels":
        return {key: value for key, _, value in (one.partition("=") for one in text.split())}
    return text.split() if it.kind == "lines" else text
