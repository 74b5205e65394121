"""A test run ends with the tests that it left out, and why."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = """
import sys
sys.path.insert(0, {tests!r})
from support.left_out import LeftOut

def pytest_configure(config):
    config.pluginmanager.register(LeftOut(config), "left-out")
"""
INI = """
[pytest]
addopts = -m 'not slow'
markers = slow: takes an hour; run with -m slow
"""
TESTS = """
import pytest

def test_runs(): pass

@pytest.mark.slow
def test_slow(): pass

@pytest.mark.skip(reason="needs the moon")
def test_moon(): pass
"""


@pytest.fixture
def report(tmp_path: Path):
    (tmp_path / "conftest.py").write_text(CONFTEST.format(tests=str(Path(__file__).parent)))
    (tmp_path / "pytest.ini").write_text(INI)
    (tmp_path / "test_them.py").write_text(TESTS)

    def run(*arguments: str) -> str:
        command = [sys.executable, "-m", "pytest", "-p", "xdist", *arguments]
        environment = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.partition("tests left out")[2]

    return run


@pytest.mark.parametrize("arguments", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_deselected_and_skipped_tests_are_named_with_their_reason(report, arguments) -> None:
    text = report(*arguments)
    assert "1 because: takes an hour; run with -m slow\n  test_them.py::test_slow\n" in text
    assert "1 because: needs the moon\n  test_them.py::test_moon\n" in text
    assert "test_runs" not in text


def test_tests_that_a_person_did_not_choose_are_counted(report) -> None:
    text = report("-k", "runs")
    assert "2 not chosen by: " in text
    assert "test_slow" not in text


def test_a_complete_run_reports_that_no_test_was_left_out(report) -> None:
    assert "none: each test that was asked for ran" in report("test_them.py::test_runs")
