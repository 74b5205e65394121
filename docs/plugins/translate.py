"""A plug-in that asks an HTTP service for another text: a translator, or an AI.

The service gets ``{"text": …, "to": …}`` as JSON and answers ``{"text": …}``. In the package's
``pyproject.toml``::

    [project.entry-points."afx.transforms"]
    translate = "translate:translate"
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from urllib.request import Request, urlopen

from afx.plugins import Message

_LARGEST = 64 * 1024
_SECONDS = 30.0


async def translate(message: Message, settings: Mapping[str, str]) -> Message | None:
    """Return the message with the service's text; what has no text is left as it is.

    Settings: ``url``, and ``to``, a language. Whatever it raises is what ``on_error`` is for.
    """
    if not message.text.strip():
        return None
    body = json.dumps({"text": message.text, "to": settings.get("to", "en")}).encode()
    answer = await asyncio.to_thread(_post, settings["url"], body)
    return message.with_text(answer["text"])


def _post(url: str, body: bytes) -> dict[str, str]:
    if not url.startswith(("https://", "http://")):
        raise ValueError("the setting url is no address of HTTP")
    request = Request(url, body, {"content-type": "application/json"})  # noqa: S310
    with urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310
        found: dict[str, str] = json.loads(answer.read(_LARGEST))
    return found
