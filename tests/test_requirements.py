"""The locked requirements fit pyproject.toml; scripts/lock writes them."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
FILES = ("build", "embedded", "dev")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def locked(name: str) -> dict[str, str]:
    """Return version by package of one file."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", text, re.MULTILINE))


def wanted(name: str) -> list[Requirement]:
    extras = PROJECT["project"]["optional-dependencies"]
    groups = {
        "build": PROJECT["dependency-groups"]["build"],
        "embedded": PROJECT["project"]["dependencies"] + extras["embedded"],
        "dev": PROJECT["project"]["dependencies"] + extras["embedded"] + extras["dev"],
    }
    return [it for it in map(Requirement, groups[name]) if it.name != "afx"]


@pytest.mark.parametrize("name", FILES)
def test_each_dependency_is_locked_within_its_bounds(name: str) -> None:
    versions = locked(name)
    for it in wanted(name):
        version = versions.get(canonicalize_name(it.name))
        assert version and it.specifier.contains(version), f"run scripts/lock: {it} is {version}"


@pytest.mark.parametrize("name", FILES)
def test_each_locked_package_has_hashes_and_no_index(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    blocks = re.split(r"^(?=[a-z0-9-]+==)", text, flags=re.MULTILINE)[1:]
    assert len(blocks) == len(locked(name))
    assert all("--hash=sha256:" in it for it in blocks)
    assert "://" not in text


@pytest.mark.parametrize("name", ["build", "embedded"])
def test_all_files_lock_the_same_versions(name: str) -> None:
    assert locked(name).items() <= locked("dev").items()


def test_the_build_backend_is_locked() -> None:
    required = {Requirement(it).name for it in PROJECT["build-system"]["requires"]}
    assert required <= locked("build").keys()
