"""docs/sandbox.md names each switch and each test, and its example runs."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from afx.sandbox.mischief import Mischief
from afx.sandbox.strictness import Strictness

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/sandbox.md").read_text()
TESTS = ROOT / "tests/sandbox"


def run_pytest(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:afx"]
    return subprocess.run(
        [*command, "-p", "afx.sandbox.pytest_plugin", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    "name", [it.name for kind in (Strictness, Mischief) for it in fields(kind)]
)
def test_each_switch_is_documented(name: str) -> None:
    assert f"`{name}`" in TEXT


def test_a_switch_that_is_off_by_default_is_listed_with_its_reason() -> None:
    _, _, listed = TEXT.partition("## Off by default")
    off = [it.name for it in fields(Strictness) if not it.default]
    assert off
    assert [it for it in off if f"`{it}`" not in listed] == []


def test_each_test_that_is_named_exists() -> None:
    named = re.findall(r"(test_\w+)::(test_\w+)", TEXT)
    assert len(named) > 30
    wrong = [
        (file, test)
        for file, test in named
        if f"def {test}(" not in (TESTS / f"{file}.py").read_text()
    ]
    assert wrong == []


def test_the_example_of_the_fixture_runs(tmp_path: Path) -> None:
    [example] = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    (tmp_path / "test_example.py").write_text(example)
    found = run_pytest(str(tmp_path), folder=tmp_path)
    assert found.returncode == 0, found.stdout + found.stderr
    assert "1 passed" in found.stdout


def test_pytest_offers_the_fixture_and_imports_nothing_heavy_for_it() -> None:
    declared = '[project.entry-points.pytest11]\nafx = "afx.sandbox.pytest_plugin"'
    assert declared in (ROOT / "pyproject.toml").read_text()
    code = (
        "import sys, afx.sandbox.pytest_plugin\n"
        "heavy = {'telethon', 'redis', 'cryptography', 'peewee', 'asyncio'}\n"
        "before = heavy & set(sys.modules)\n"
        "ours = sorted(it for it in sys.modules if it.startswith('afx'))\n"
        "print(ours, sorted(before - {'asyncio'}))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert found.stdout.strip() == "['afx', 'afx.sandbox', 'afx.sandbox.pytest_plugin'] []"
