"""No module imports, by whatever detour, a module that imports it.

Every import counts: at module level, inside functions, and those for type
checkers alone. A circle that only type checkers see still means that neither
module can be understood, or moved, without the other. A module's packages are
not counted as imported with it: an ``__init__`` that imports its own modules
would make each of them a circle.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from support.syntax import parsed

ROOT = Path(__file__).parent.parent
PACKAGES = ("afx", "cli", "jobs", "models")
Graph = dict[str, set[str]]


def module_files() -> dict[str, Path]:
    found = {}
    for path in (it for package in PACKAGES for it in (ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(source: str, module: str, modules: set[str]) -> set[str]:
    """Return the modules of ``modules`` that a module's source imports."""
    found: set[str] = set()
    for node in ast.walk(parsed(source)):
        if isinstance(node, ast.Import):
            found |= {it.name for it in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for it in node.names:
                name = f"{node.module}.{it.name}"
                found.add(name if name in modules else node.module)
    return (found & modules) - {module}


def circles(graph: Graph) -> list[list[str]]:
    """Return the groups of modules that all reach each other, each sorted."""
    found: list[list[str]] = []
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []

    def visit(module: str) -> None:  # Tarjan's algorithm
        order[module] = lowest[module] = len(order)
        stack.append(module)
        for other in sorted(graph[module]):
            if other not in order:
                visit(other)
                lowest[module] = min(lowest[module], lowest[other])
            elif other in stack:
                lowest[module] = min(lowest[module], order[other])
        if lowest[module] == order[module]:
            at = stack.index(module)
            group, stack[at:] = stack[at:], []
            if len(group) > 1:
                found.append(sorted(group))

    for module in sorted(graph):
        if module not in order:
            visit(module)
    return found


def test_no_module_imports_itself_by_a_detour() -> None:
    files = module_files()
    names = set(files)
    graph = {name: imported(path.read_text(), name, names) for name, path in files.items()}
    assert len(graph) > 100
    assert circles(graph) == []


@pytest.mark.parametrize(
    "source",
    [
        "import afx.b",
        "from afx import b",
        "from afx.b import name",
        "def f():\n    from afx.b import name",
        "if TYPE_CHECKING:\n    from afx.b import name",
    ],
)
def test_every_kind_of_import_is_seen(source: str) -> None:
    assert imported(source, "afx.a", {"afx", "afx.a", "afx.b"}) == {"afx.b"}


def test_a_circle_is_found_whatever_hangs_on_it() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set(), "e": {"e2"}, "e2": {"e"}}
    assert circles(graph) == [["b", "c"], ["e", "e2"]]
