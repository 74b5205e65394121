"""``afx doctor`` on homes that are not as they should be."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from support.cli_runs import Run, runner


@pytest.fixture
def afx(home: Path) -> Run:
    return runner(home)


def findings(afx: Run, *grades: str, prefix: tuple[str, ...] = ()) -> list[dict[str, str]]:
    done = afx("doctor", "--json", prefix=prefix)
    return [it for it in json.loads(done.stdout) if it["grade"] in grades]


def read_only(home: Path) -> tuple[str, ...]:
    """Return a prefix that runs a command with a read-only home; skip where that is impossible."""
    if os.geteuid() != 0:
        home.chmod(0o500)
        return ()
    if shutil.which("unshare") is None:
        pytest.skip("root writes to read-only directories, and unshare is not installed")
    mount = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" "$0"'
    prefix = ("unshare", "--mount", "bash", "-c", f'{mount} && exec "$@"', str(home))
    if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine lets no process make a read-only mount")
    return prefix


def test_a_home_that_cannot_be_written_is_found(afx: Run, home: Path) -> None:
    afx("user", "add", "alice")
    failures = findings(afx, "fail", prefix=read_only(home))
    assert any(it["area"] == "home" and "cannot be written" in it["what"] for it in failures)
    home.chmod(0o700)


def test_a_home_that_others_may_enter_is_found_with_its_files(afx: Run, home: Path) -> None:
    (home / "afx.toml").write_text("api_hash = 'x'\n")
    (home / "afx.toml").chmod(0o644)
    home.chmod(0o755)
    remedies = {it["remedy"] for it in findings(afx, "warn") if it["area"] == "home"}
    assert f"chmod 700 {home}" in remedies
    assert f"chmod 600 {home}/afx.toml" in remedies


def test_a_socket_directory_that_others_may_enter_is_found(afx: Run, home: Path) -> None:
    (home / "redis").mkdir(mode=0o777)
    (home / "redis").chmod(0o777)
    remedies = {it["remedy"] for it in findings(afx, "fail") if it["area"] == "home"}
    assert remedies == {f"chmod 700 {home}/redis"}


def test_a_private_home_with_room_is_sound(afx: Run) -> None:
    assert [it for it in findings(afx, "fail", "warn") if it["area"] == "home"] == []


@pytest.mark.parametrize(
    ("place", "grade", "what"),
    [("unused", "warn", "does not exist yet"), ("a-file", "fail", "is not a directory")],
)
def test_a_home_that_is_no_directory_is_one_finding(
    home: Path, place: str, grade: str, what: str
) -> None:
    (home / "a-file").touch()
    done = runner(home)("doctor", "--json", AFX_HOME=str(home / place))
    [found] = [it for it in json.loads(done.stdout) if it["area"] == "home"]
    assert (found["grade"], what in found["what"]) == (grade, True)
