"""Values as people read them on a page."""

from __future__ import annotations

import re
from typing import Any

import pytest

from afx.api.dashboard.formats import fields


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"ram_demand": 19164994356.0, "nodes": 0.0034}, "ram demand 19,164,994,356, nodes 0.0034"),
        ({"removable": [], "trouble": "", "node": None}, "removable none, trouble none, node none"),
        ({"id": 1234, "labels": ["a", "<b>"]}, "id 1234, labels a, &lt;b&gt;"),
        ({"share": 1.0, "load": 12.5}, "share 1, load 12.5"),
    ],
)
def test_fields_are_readable_and_no_markup(value: Any, text: str) -> None:
    shown = str(fields(value))
    assert re.sub("</?span[^>]*>", "", shown) == text
