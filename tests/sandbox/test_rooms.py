"""The rooms of the sandbox, and which of them may import which."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from support.syntax import tree

ROOT = Path(__file__).parents[2]
SHARED = {"answers", "dh", "errors", "mischief", "scripted", "strictness"}
ROOMS = {
    "mtproto": SHARED | {"mtproto"},
    "telegram": SHARED | {"telegram"},
    "judge": SHARED | {"judge", "telegram"},
}


def rooms_imported_by(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{it.name}" for it in node.names]
            found |= {it.split(".")[2] for it in names if it.startswith("afx.sandbox.")}
    return found


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_the_rooms_below_it(room: str) -> None:
    for path in (ROOT / "afx/sandbox" / room).rglob("*.py"):
        assert rooms_imported_by(path) <= ROOMS[room], path


def test_a_verdict_can_be_read_without_loading_a_server() -> None:
    module = tree(ROOT / "afx/sandbox/judge/verdict.py")
    imported = {node.module for node in ast.walk(module) if isinstance(node, ast.ImportFrom)}
    ours = {it for it in imported if it and it.startswith("afx")}
    assert ours == {"afx.errors"}
