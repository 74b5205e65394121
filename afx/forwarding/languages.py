"""The language of a message's words, by CLD3 (github.com/google/cld3), as far as it can be told.

Links, names, tags and code are left out, and of a few letters nothing can be said: then it is
``unknown``. The library is an extra, ``afx[language]``: nodes without it cannot use such rules.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Any

from afx.forwarding.facts import Facts, kind_of
from afx.forwarding.utf16 import part

UNKNOWN = "unknown"
LANGUAGES = (
    *("af", "am", "ar", "az", "be", "bg", "bn", "bs", "ca", "ceb", "co", "cs", "cy", "da", "de"),
    *("el", "en", "eo", "es", "et", "eu", "fa", "fi", "fil", "fr", "fy", "ga", "gd", "gl", "gu"),
    *("ha", "haw", "he", "hi", "hmn", "hr", "ht", "hu", "hy", "id", "ig", "is", "it", "ja", "jv"),
    *("ka", "kk", "km", "kn", "ko", "ku", "ky", "la", "lb", "lo", "lt", "lv", "mg", "mi", "mk"),
    *("ml", "mn", "mr", "ms", "mt", "my", "ne", "nl", "no", "ny", "pa", "pl", "ps", "pt", "ro"),
    *("ru", "sd", "si", "sk", "sl", "sm", "sn", "so", "sq", "sr", "st", "su", "sv", "sw", "ta"),
    *("te", "tg", "th", "tr", "uk", "ur", "uz", "vi", "xh", "yi", "yo", "zh", "zu"),
    UNKNOWN,
)
"""ISO 639 codes of what can be told, and what stands for all else."""
_ALIASES = {"iw": "he"}
_NOT_WORDS = frozenset(
    {"BotCommand", "Cashtag", "Code", "Email", "Hashtag", "Mention", "Phone", "Pre", "Url"}
)
_FEWEST_LETTERS = 16
_WORTH = 4
"""A letter of a script that writes syllables or words says as much as so many others."""
_MOST_BYTES = 2_000
_SIGNS = re.compile(r"[\W\d_]+")
_KEY = "_language"


def language_of(facts: Facts) -> str:
    """Return the code of a message's language, or ``unknown``; it is asked for once."""
    found = facts.__dict__.get(_KEY)
    if found is None:
        found = facts.__dict__[_KEY] = _told(_words(facts))
    return str(found)


def check_installed() -> None:
    """Raise ValueError when this machine cannot tell languages."""
    try:
        _detector()
    except ImportError:
        raise ValueError(
            "it cannot tell languages; install 'afx[language]' there, and start it again"
        ) from None


@lru_cache(maxsize=1)
def _detector() -> Any:
    import gcld3  # it costs some MB, and most nodes have no rule that needs it

    return gcld3.NNetLanguageIdentifier(0, _MOST_BYTES)


def _words(facts: Facts) -> str:
    text = facts.text
    for it in facts.entities:
        if kind_of(it) in _NOT_WORDS:
            text = text.replace(part(facts.text, it.offset, it.length), " ")
    return _SIGNS.sub(" ", text)[:_MOST_BYTES].strip()


def _told(words: str) -> str:
    """Return the language of words without signs."""
    letters = sum(_WORTH if _is_wide(it) else 1 for it in words if it != " ")
    if letters < _FEWEST_LETTERS:
        return UNKNOWN
    found = _detector().FindLanguage(words.encode("utf-8", "ignore").decode())
    if not found.is_reliable:
        return UNKNOWN
    code = str(found.language).partition("-")[0]
    return _ALIASES.get(code, code)


def _is_wide(letter: str) -> bool:
    return letter > "\u02af" and unicodedata.east_asian_width(letter) in "WF"
