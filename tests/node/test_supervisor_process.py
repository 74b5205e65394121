"""A node's own processes: what they import, and what they get from the command line."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from afx.config import load
from afx.node_settings import NodeSettings

HEAVY = ("pydantic_settings", "rich", "typer", "peewee", "fastapi")


@pytest.mark.parametrize("module", ["supervisor_process", "host_process"])
def test_a_process_of_a_node_imports_nothing_heavy_that_it_does_not_use(module: str) -> None:
    script = (
        f"import sys, afx.node.{module}\n"
        f"print([it for it in {HEAVY!r} if sys.modules.get(it) is not None])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


def test_settings_reach_another_process_unchanged(home: Path) -> None:
    settings = load(home=home, labels={"region": "eu"}, api_hash="abc").for_node()
    assert NodeSettings.from_json(settings.to_json()) == settings
    assert (settings.api_hash, settings.labels) == ("abc", {"region": "eu"})


def test_a_setting_of_a_node_is_the_one_of_its_name(home: Path) -> None:
    settings = load(home=home, max_sessions=7, lease_profile="safe")
    node = settings.for_node()
    secrets = {"api_hash", "secret_key"}
    for it in fields(NodeSettings):
        if it.name not in secrets:
            assert getattr(node, it.name) == getattr(settings, it.name), it.name
    assert (node.lease, node.login_servers) == (settings.lease, settings.login_servers)


def test_a_supervisor_may_open_as_many_descriptors_as_the_system_allows() -> None:
    # Importing it leaves out some libraries for the whole process: another one does it.
    script = (
        "import resource\n"
        "_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))\n"
        "from afx.node.supervisor_process import raise_descriptor_limit\n"
        "raise_descriptor_limit()\n"
        "print(resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "True"
