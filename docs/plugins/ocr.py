"""A plug-in that adds what is written on a photo, as an external command reads it.

In the package's ``pyproject.toml``::

    [project.entry-points."afx.transforms"]
    ocr = "ocr:ocr"

A rule that uses it says ``files``, the size up to which a file is given to it.
"""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Mapping
from dataclasses import replace

from afx.plugins import Message

_MOST = 3_000
"""Characters of what it reads."""


async def ocr(message: Message, settings: Mapping[str, str]) -> Message | None:
    """Write what the command prints below the caption, which keeps its formatting.

    The setting ``command`` has ``{file}`` where the photo is named; without it Tesseract is asked.
    The node ends the command when the plug-in's time is over.
    """
    if message.file is None or message.media != "photo":
        return None
    command = settings.get("command", "tesseract {file} stdout")
    words = [it.replace("{file}", message.file.path) for it in shlex.split(command)]
    process = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    found = (await process.stdout.read(4 * _MOST)).decode(errors="ignore").strip()[:_MOST]
    if await process.wait():
        raise RuntimeError("the command failed")
    if not found:
        return None
    return replace(message, text=f"{message.text}\n\n{found}" if message.text else found)
