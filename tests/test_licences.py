"""What afx installs with itself may be used by anybody: its licences are permissive."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, distribution

from packaging.requirements import Requirement

PERMISSIVE = re.compile(r"MIT|BSD|Apache|ISC|PSF|CC0|Python Software Foundation|Zlib", re.I)
UNNAMED = {"peewee"}
"""Their metadata name no licence; the file in their distribution is MIT's."""
_FIELDS = ("License-Expression", "License")
OTHERS = {
    # Used as a library that can be replaced, and not changed: so its licence allows it.
    "psycopg": "LGPL-3.0-only",
    "psycopg-binary": "LGPL-3.0-only",
    "psycopg-pool": "LGPL-3.0-only",
}


def installed(name: str, extras: frozenset[str], found: dict[str, str]) -> dict[str, str]:
    """Collect the licences of a distribution's dependencies, by name."""
    for text in distribution(name).requires or ():
        it = Requirement(text)
        wanted = [{"extra": extra} for extra in extras or {""}]
        if it.marker and not any(it.marker.evaluate(one) for one in wanted):
            continue
        key = it.name.lower().replace("_", "-")
        if key in found:
            continue
        try:
            found[key] = licence(it.name)
        except PackageNotFoundError:
            continue  # not for this platform
        installed(it.name, frozenset(it.extras), found)
    return found


def licence(name: str) -> str:
    data = distribution(name).metadata
    classifiers = [it for it in data.get_all("Classifier") or () if it.startswith("License")]
    # A field that is asked for by its index, and is not there, is an error of later Pythons.
    [expression, *_], [text, *_] = (data.get_all(it) or [""] for it in _FIELDS)
    return " ".join((expression, text[:60], *classifiers))


def test_a_licence_that_metadata_do_not_name_is_in_its_file() -> None:
    for name in UNNAMED:
        files = distribution(name).files or []
        [text] = [it.read_text() for it in files if it.name.upper().startswith("LICENSE")]
        assert "Permission is hereby granted, free of charge" in text


def test_every_dependency_has_a_permissive_licence() -> None:
    found = installed("afx", frozenset(), {})
    assert {"fastapi", "arrow", "blinker", "itsdangerous", "h11"} <= set(found)
    wrong = {
        name: text
        for name, text in found.items()
        if not PERMISSIVE.search(text) and name not in {*OTHERS, *UNNAMED}
    }
    assert not wrong
    assert all(found[name].startswith(text) for name, text in OTHERS.items() if name in found)
