"""Whether an answer of the API is what the schema says of it."""

from __future__ import annotations

from functools import cache
from typing import Any

import httpx
import jsonschema_rs

from afx.api.application import application

SCHEMA = application().openapi()
OPERATIONS: dict[str, tuple[str, str, dict[str, Any]]] = {
    it["operationId"]: (method.upper(), path, it)
    for path, methods in SCHEMA["paths"].items()
    for method, it in methods.items()
}


def check(name: str, answer: httpx.Response) -> None:
    """Raise AssertionError unless the schema describes the answer of an operation."""
    status = str(answer.status_code)
    described = OPERATIONS[name][2]["responses"].get(status)
    assert described is not None, f"{name} answers {status}, of which the schema says nothing"
    media = answer.headers.get("content-type", "").partition(";")[0]
    known = {it.partition(";")[0]: it for it in described.get("content", {})}
    if not answer.content:
        assert status in ("204", "304"), f"{name} answers {status} with nothing"
        return
    assert media in known, f"{name} answers {status} with {media}, the schema says {list(known)}"
    if media.endswith("json"):
        first = next(_validator(name, status, known[media]).iter_errors(answer.json()), None)
        assert first is None, f"{name}, {status}: {first}"


@cache
def _validator(name: str, status: str, media: str) -> Any:
    content = OPERATIONS[name][2]["responses"][status]["content"][media]
    schema = {**content.get("schema", {}), "components": SCHEMA["components"]}
    return jsonschema_rs.validator_for(schema, validate_formats=True)
