"""The rules of which package may import which (see docs/architecture.md), held by folder."""

from __future__ import annotations

import ast
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from support.syntax import tree

ROOT = Path(__file__).parent.parent
OURS = ("afx", "cli", "jobs", "models", "tests")
WITH_IO = {"redis", "rq", "peewee", "telethon", "asyncio", "socket", "os", "models", "psutil"}
BASICS = (
    "afx.bounded_toml",
    "afx.config",
    "afx.errors",
    "afx.garbage",
    "afx.node_settings",
    "afx.process_names",
    "afx.urls",
)
"""What every folder may import of ``afx``."""
VALUES = (
    "afx.clock",
    "afx.devices",
    "afx.empty",
    "afx.exposition",
    "afx.lease",
    "afx.logs",
    "afx.owned_tasks",
    "afx.plugins",
    "afx.probe_address",
    "afx.probes",
    "afx.proxies",
    "afx.reasons",
    "afx.short_slices",
)
"""What runs for long may import besides."""
MAY_IMPORT: dict[str, tuple[str, ...]] = {
    "cli": ("cli", "afx.operations", "afx.app", "afx.config_text", "afx.__version__"),
    "afx/api": ("afx.api", "afx.operations", "afx.app", "afx.exposition", "afx.__version__"),
    "afx/operations": (
        "afx.operations",
        "models",
        "afx.cluster",
        "afx.security",
        "afx.tasks.kinds",
        "afx.forwarding",
        "afx.coordinator.decisions",
        "afx.config_text",
        "afx.devices",
        "afx.proxies",
        "afx.plugins",
    ),
    "afx/verify": (
        "afx.verify",
        "afx.operations",
        "afx.cluster",
        "afx.security",
        "afx.coordinator.capacity",
        "afx.coordinator.decisions",
        "models",
    ),
    "afx/coordinator": ("afx.coordinator", "models", "afx.cluster", "afx.security", *VALUES),
    "afx/node": (
        "afx.node",
        "afx.cluster",
        "afx.security",
        "afx.tasks",
        "afx.telegram",
        "afx.forwarding",
        *VALUES,
    ),
    "afx/tasks": (
        "afx.tasks",
        "afx.node",
        "afx.cluster",
        "afx.security",
        "afx.telegram",
        "afx.forwarding",
        *VALUES,
    ),
    "jobs": ("jobs", "afx.tasks", "afx.node", "afx.cluster"),
    "afx/telegram": (
        "afx.telegram",
        "afx.forwarding",
        "afx.devices",
        "afx.owned_tasks",
        "afx.proxies",
        "afx.reasons",
    ),
    # What a URL of a webhook is, is decided in one place.
    "afx/forwarding": ("afx.forwarding", "afx.security.webhook_targets"),
    "afx/plugins": ("afx.plugins", "afx.forwarding"),
    "afx/cluster": ("afx.cluster", "afx.security", *VALUES),
    "afx/security": ("afx.security",),
    "models": ("models",),
}
"""What a folder may import of this project, besides ``BASICS``."""
EXCEPTIONS: dict[str, tuple[str, ...]] = {
    # They examine or start things of this machine.
    "afx/operations/doctor.py": ("afx.node.resources",),
    "afx/operations/home_checks.py": ("afx.local",),
    "afx/operations/redis_checks.py": ("afx.local",),
    "afx/operations/proxy_checks.py": ("afx.telegram.proxy_check",),
    "afx/operations/sign_in_steps.py": ("afx.telegram.login", "afx.telegram.sign_in_steps"),
    # The reasons that its rows have.
    "afx/operations/dead_letters.py": ("afx.reasons",),
    # The leader's own plan, until it is a pure decision.
    "afx/operations/rebalancing.py": ("afx.coordinator.capacity",),
    # What the leader's placement would say.
    "afx/operations/placing.py": ("afx.coordinator.capacity",),
}
STARTERS = ("afx.lab", "afx.local", "afx.sandbox")
"""What starts whole clusters: may import anything, and only faces may import it."""
MAY_START = ("afx/app.py", "afx/servers.py", "afx/lab", "afx/local", "afx/sandbox")
PURE = [
    "afx/coordinator/decisions",
    "afx/coordinator/interval.py",
    "afx/coordinator/placement_schedule.py",
    "afx/forwarding",
    "afx/node/loop_guard.py",
    "afx/node/residents.py",
    "afx/telegram/boxes.py",
]


@cache
def imports(path: Path) -> frozenset[str]:
    """Return what a module imports, inside functions too; names as ``package.module.name``."""
    found: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found |= {it.name for it in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert not node.level, f"{path} imports relatively"
            found |= {f"{node.module}.{it.name}" for it in node.names}
    return frozenset(found)


def of_ours(path: Path) -> set[str]:
    return {it for it in imports(path) if it.partition(".")[0] in OURS}


def modules(place: str) -> list[Path]:
    path = ROOT / place
    return [path] if path.suffix == ".py" else sorted(path.rglob("*.py"))


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def within(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == it or name.startswith(f"{it}.") for it in packages)


def all_modules() -> list[Path]:
    return [it for package in OURS[:-1] for it in modules(package)]


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_a_folder_imports_only_what_the_architecture_allows(folder: str) -> None:
    wrong = {
        f"{named(path)} imports {name}"
        for path in modules(folder)
        for name in of_ours(path)
        if not within(name, (*MAY_IMPORT[folder], *BASICS, *EXCEPTIONS.get(named(path), ())))
    }
    assert not wrong


def test_every_exception_is_still_needed() -> None:
    unneeded = [
        f"{file}: {package}"
        for file, packages in EXCEPTIONS.items()
        for package in packages
        if not any(within(it, (package,)) for it in of_ours(ROOT / file))
    ]
    assert not unneeded


def test_nothing_imports_jobs_the_command_line_or_tests() -> None:
    wrong = {
        f"{named(path)} imports {name}"
        for path in all_modules()
        for name in of_ours(path)
        if within(name, ("jobs", "cli", "tests", "typer")) and named(path).split("/")[0] not in name
    }
    assert not wrong


def test_only_faces_start_clusters_and_sandboxes() -> None:
    wrong = {
        f"{named(path)} imports {name}"
        for path in all_modules()
        for name in of_ours(path)
        if within(name, STARTERS)
        and not named(path).startswith(MAY_START)
        and not within(name, EXCEPTIONS.get(named(path), ()))
    }
    assert not wrong


def test_only_the_command_line_knows_typer() -> None:
    wrong = [
        named(path)
        for path in all_modules()
        if any(within(it, ("typer", "click")) for it in imports(path))
        and not named(path).startswith("cli/")
    ]
    assert not wrong


@pytest.mark.parametrize("place", PURE)
def test_decisions_and_forwarding_import_nothing_that_does_io(place: str) -> None:
    wrong = {
        f"{named(path)} imports {name}"
        for path in modules(place)
        for name in imports(path)
        if name.partition(".")[0] in WITH_IO
    }
    assert not wrong


@pytest.mark.parametrize("name", ["afx", "cli", "jobs", "models"])
def test_our_top_level_packages_belong_to_our_distribution_alone(name: str) -> None:
    assert set(packages_distributions().get(name, ["afx"])) == {"afx"}
