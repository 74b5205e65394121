"""Mistakes in settings, each as words of ours; no I/O, and no wording of a library."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from pydantic_core import ErrorDetails

from afx.errors import printable

_WORDS = {
    "int_parsing": "it must be a whole number",
    "int_type": "it must be a whole number",
    "int_from_float": "it must be a whole number",
    "float_parsing": "it must be a number",
    "float_type": "it must be a number",
    "finite_number": "it must be a finite number",
    "string_type": "it must be a text",
    "path_type": "it must be a path",
    "dict_type": "it must be a table of texts",
    "greater_than": "it must be more than {gt:.12g}",
    "greater_than_equal": "it must be at least {ge:.12g}",
    "less_than": "it must be less than {lt:.12g}",
    "less_than_equal": "it must be at most {le:.12g}",
    "literal_error": "it must be {expected}",
}


def unknown_variables(
    names: Iterable[str], settings: Sequence[str], others: Sequence[str]
) -> list[str]:
    """Return a mistake for each ``AFX_…`` variable that is no setting.

    ``others`` are variables that belong to afx without being settings.
    """
    known = {f"AFX_{it.upper()}" for it in settings} | set(others)
    return [
        f"{printable(it)}: there is no such setting{_suggestion(it.upper(), known)}"
        for it in sorted(names)
        if it.upper().startswith("AFX_") and it.upper() not in known
    ]


def in_words(error: ErrorDetails, settings: Sequence[str]) -> list[str]:
    """Return one mistake that Pydantic found, in our words."""
    name = printable(".".join(str(part) for part in error["loc"]))
    kind = error["type"]
    if kind == "extra_forbidden":
        return [f"{name}: there is no such setting{_suggestion(name, settings)}"]
    if kind == "value_error":
        lines = str(error["ctx"]["error"]).splitlines()
        return [f"{name}: {it}" if name else it for it in lines]
    words = _WORDS.get(kind, "it is not of the right form")
    return [f"{name}: {words.format(**error.get('ctx', {}))}"]


def sentence(mistakes: Sequence[str]) -> str:
    """Return all mistakes as one text: one in a sentence, more below each other."""
    if len(mistakes) == 1:
        return f"A setting is wrong: {mistakes[0]}."
    listed = "".join(f"\n  {it}" for it in mistakes)
    return f"{len(mistakes)} settings are wrong; correct them and try again:{listed}"


def _suggestion(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f" (did you mean {close[0]}?)" if close else ""
