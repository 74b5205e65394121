"""The rules of who may import whom (see docs/architecture.md)."""

from __future__ import annotations

import ast
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from support.syntax import tree

ROOT = Path(__file__).parent.parent
PURE = [
    "afx/forwarding/rules.py",
    "afx/forwarding/pipeline.py",
    "afx/coordinator/decisions/placement.py",
    "afx/coordinator/decisions/token_bucket.py",
    "afx/coordinator/decisions/liveness.py",
    "afx/coordinator/decisions/epochs.py",
    "afx/coordinator/decisions/control_progress.py",
    "afx/coordinator/decisions/node_state.py",
    "afx/coordinator/decisions/fairness.py",
    "afx/coordinator/decisions/preemption.py",
    "afx/coordinator/decisions/session_size.py",
    "afx/coordinator/decisions/brake.py",
    "afx/coordinator/decisions/rebalance.py",
    "afx/coordinator/decisions/retry_policy.py",
    "afx/coordinator/interval.py",
    "afx/coordinator/placement_schedule.py",
    "afx/node/loop_guard.py",
    "afx/node/residents.py",
    "afx/telegram/boxes.py",
    "afx/forwarding/rule_text.py",
    "afx/forwarding/rulefile.py",
]
WITH_IO = {"redis", "rq", "peewee", "telethon", "asyncio", "socket", "os", "models", "psutil"}


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found |= {it.name for it in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{it.name}" for it in node.names}
    return found


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("path", PURE)
def test_decision_modules_import_nothing_that_does_io(path: str) -> None:
    assert not {it.partition(".")[0] for it in imports(ROOT / path)} & WITH_IO


@pytest.mark.parametrize("path", modules("models"), ids=str)
def test_models_import_of_afx_only_its_settings_and_errors(path: Path) -> None:
    ours = {it for it in imports(path) if it.startswith("afx")}
    assert all(it.startswith(("afx.config", "afx.errors")) for it in ours)


@pytest.mark.parametrize("path", modules("afx/node"), ids=str)
def test_nodes_need_no_database(path: Path) -> None:
    assert not {it for it in imports(path) if it.partition(".")[0] in ("models", "peewee")}


@pytest.mark.parametrize("path", modules("afx"), ids=str)
def test_the_engine_knows_no_command_line(path: Path) -> None:
    assert not {it for it in imports(path) if it.partition(".")[0] in ("typer", "cli", "tests")}


@pytest.mark.parametrize("name", ["afx", "cli", "jobs", "models"])
def test_our_top_level_packages_belong_to_our_distribution_alone(name: str) -> None:
    assert set(packages_distributions().get(name, ["afx"])) == {"afx"}
