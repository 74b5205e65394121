"""A plug-in that writes a text on photos, with Pillow (``pip install pillow`` on the nodes).

In the package's ``pyproject.toml``::

    [project.entry-points."afx.transforms"]
    watermark = "watermark:watermark"

A rule that uses it says ``files``, the size up to which a file is given to it.
"""

from __future__ import annotations

from collections.abc import Mapping

from afx.plugins import Message

_SHARE = 20
"""The text is a twentieth of the picture high."""


async def watermark(message: Message, settings: Mapping[str, str]) -> Message | None:
    """Write the setting ``text`` into the lower right corner; other files stay as they are."""
    if message.file is None or message.media != "photo":
        return None
    from PIL import Image, ImageDraw, ImageFont

    with Image.open(message.file.path) as opened:
        picture = opened.convert("RGB")
    width, height = picture.size
    font = ImageFont.load_default(size=max(12, height // _SHARE))
    ImageDraw.Draw(picture).text(
        (width * 0.98, height * 0.98),
        settings.get("text", "©"),
        font=font,
        anchor="rs",
        fill=(255, 255, 255),
        stroke_width=2,
        stroke_fill=(0, 0, 0),
    )
    picture.save("marked.jpg", quality=90)
    return message.with_file("marked.jpg")
