"""Rules that hold for all of the coordinator's code."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from support.syntax import tree

FOLDER = Path(__file__).parents[2] / "afx" / "coordinator"
MODULES = sorted(FOLDER.rglob("*.py"))
WRITERS = {"assignments.py", "assignment_change.py"}
WRITES = {"create_many", "mark_running", "mark_stopping", "end_many", "end_all"}


@pytest.mark.parametrize("path", MODULES, ids=lambda it: it.stem)
def test_only_the_assignment_table_writes_assignments(path: Path) -> None:
    written = {
        node.attr
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "assignments"
    } & WRITES
    assert not written or path.name in WRITERS


@pytest.mark.parametrize("path", MODULES, ids=lambda it: it.stem)
def test_clocks_and_randomness_are_parameters(path: Path) -> None:
    called = {ast.unparse(node.func) for node in ast.walk(tree(path)) if isinstance(node, ast.Call)}
    assert not [it for it in called if it.startswith(("time.", "random.", "secrets.", "uuid."))]


@pytest.mark.parametrize("path", MODULES, ids=lambda it: it.stem)
def test_attributes_are_born_in_constructors(path: Path) -> None:
    for cls in ast.walk(tree(path)):
        if not isinstance(cls, ast.ClassDef):
            continue
        methods = [it for it in cls.body if isinstance(it, ast.FunctionDef)]
        born = {name for it in methods if it.name == "__init__" for name in assigned(it)}
        born |= {it.target.id for it in cls.body if isinstance(it, ast.AnnAssign)}  # type: ignore[union-attr]
        assert {name for it in methods for name in assigned(it)} <= born


def assigned(method: ast.FunctionDef) -> set[str]:
    return {
        node.attr
        for node in ast.walk(method)
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
    }
