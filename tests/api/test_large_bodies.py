"""Who has no token cannot fill the API's memory with bodies."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

from afx.api.gate import LARGEST_BODY, Gate


def test_a_body_without_a_token_is_small() -> None:
    taken = 0

    async def receive() -> dict[str, Any]:
        nonlocal taken
        taken += 1
        return {"type": "http.request", "body": b"x" * 65536, "more_body": taken < 60}

    async def send(_: object) -> None:
        pass

    async def app(*_: object) -> None:
        pass

    gate = Gate(
        cast("Any", app),
        cast("Any", None),
        cast("Any", SimpleNamespace(count=lambda *_: None)),
        requests=cast("Any", None),
        bad_tokens=cast("Any", None),
    )
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/static/anything",
        "headers": [
            (b"sec-fetch-site", b"same-origin"),
            (b"content-length", str(LARGEST_BODY).encode()),
        ],
    }
    asyncio.run(gate(scope, cast("Any", receive), cast("Any", send)))
    assert taken * 65536 <= 256 * 1024, f"{taken * 65536} bytes were held"
