"""The option ``protected``: what becomes of files that may not be saved or forwarded."""

from __future__ import annotations

from typing import Any

from afx.forwarding.forms import Choice

PROTECTED = Choice(
    "What becomes of files of chats that forbid to save them: skip (each is a dead letter), or "
    "reupload (they are downloaded, and uploaded anew).",
    ("skip", "reupload"),
)


def compile_protected(value: Any) -> bool:
    """Return whether protected files are uploaded anew; raises ValueError for no such option."""
    if value not in ("", *PROTECTED.words):
        raise ValueError("the option 'protected' is none of skip and reupload")
    return bool(value == "reupload")


def protected_sentence(value: str) -> str:
    """Return the option in words."""
    if value == "skip":
        return "Files of chats that forbid to save them are dead letters."
    return (
        "Files of chats that forbid to save them are downloaded, and uploaded anew; not in mode "
        "forward."
    )
