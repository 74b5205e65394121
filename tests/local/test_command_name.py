"""How hints tell the user to call afx."""

from __future__ import annotations

from pathlib import Path

import pytest

from afx.local.command_name import command_name


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """A virtual environment's directory of programs."""
    programs = tmp_path / "an env" / "bin"
    programs.mkdir(parents=True)
    for name in ("python", "afx"):
        (programs / name).write_text("#!/bin/sh\n")
        (programs / name).chmod(0o755)
    return programs


def name(programs: Path, path: Path, program: str = "/usr/lib/main.py") -> str:
    return command_name(program=program, executable=str(programs / "python"), path=str(path))


def test_it_is_afx_when_path_leads_to_this_environment(environment: Path) -> None:
    assert name(environment, environment) == "afx"


def test_it_is_the_scripts_path_when_afx_is_not_on_path(environment: Path, tmp_path: Path) -> None:
    assert name(environment, tmp_path) == f"'{environment}/afx'"


def test_it_is_the_scripts_path_when_another_afx_is_on_path(
    environment: Path, tmp_path: Path
) -> None:
    other = tmp_path / "afx"
    other.write_text("#!/bin/sh\n")
    other.chmod(0o755)
    assert name(environment, tmp_path) == f"'{environment}/afx'"


def test_the_path_is_relative_below_the_working_directory(
    environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert name(environment, tmp_path) == "'an env/bin/afx'"


def test_the_script_that_was_called_comes_first(environment: Path, tmp_path: Path) -> None:
    script = tmp_path / "afx"
    script.write_text("")
    assert name(environment, environment, program=str(script)) == str(script)


def test_without_a_script_it_is_the_module(environment: Path, tmp_path: Path) -> None:
    (environment / "afx").unlink()
    assert name(environment, tmp_path) == f"'{environment}/python' -m cli.main"
