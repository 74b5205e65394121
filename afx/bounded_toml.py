"""TOML that other people may have written: its size and depth are bounded before it is parsed.

The standard library's parser keeps every prefix of a dotted key: a key with 200,000
parts, 400 KB of text, takes more memory than a machine has.
"""

from __future__ import annotations

import re
import tomllib
from typing import Any

DEEPEST = 20
_TOKEN = re.compile(
    r"""[A-Za-z0-9_-]+ | "[^"\n]*" | '[^'\n]*' | (?P<dot>\.) | (?P<space>[ \t]+) | (?P<end>.|\n)""",
    re.VERBOSE,
)


class TomlDepthError(Exception):
    """A key has too many parts, or tables are nested too deeply."""

    def __init__(self, line: int | None = None) -> None:
        super().__init__()
        self.line = line


def loads(text: str) -> dict[str, Any]:
    """Return the tables of a TOML text.

    Raises TomlDepthError when it is nested too deeply, TOMLDecodeError when it is no TOML.
    The caller bounds its size.
    """
    if (position := _deep_key(text)) is not None:
        raise TomlDepthError(text.count("\n", 0, position) + 1)
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise TomlDepthError from None
    except tomllib.TOMLDecodeError:
        raise
    except ValueError as error:
        # Python converts no number of more than 4,300 digits.
        raise tomllib.TOMLDecodeError("a number is too large") from error


def _deep_key(text: str) -> int | None:
    """Return where a key with too many parts begins, in one pass.

    A value or a comment that looks like such a key is refused too: no sound file has one.
    """
    begin, dots, after_part = 0, 0, False
    for token in _TOKEN.finditer(text):
        if token["space"]:
            continue
        if token["dot"] and after_part:
            dots += 1
            after_part = False
            if dots > DEEPEST:
                return begin
        elif token["dot"] or token["end"]:
            dots, after_part = 0, False
        else:
            if after_part or not dots:
                begin, dots = token.start(), 0
            after_part = True
    return None
