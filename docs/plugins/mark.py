"""A plug-in that writes a line below each text, as a watermark does on a picture.

In the package's ``pyproject.toml``::

    [project.entry-points."afx.transforms"]
    mark = "mark:mark"
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from afx.plugins import Message


async def mark(message: Message, settings: Mapping[str, str]) -> Message | None:
    """Add the line of the setting ``text``; what is before it keeps its formatting."""
    line = settings.get("text", "")
    if not line or message.text.endswith(line):
        return None
    return replace(message, text=f"{message.text}\n\n{line}" if message.text else line)
