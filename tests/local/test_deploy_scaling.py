"""The examples of providers: the script does what its unit and document say."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from afx.config import Settings
from afx.operations.scaling import ScalingStatus

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
VARIABLES = set(ScalingStatus("out", False, "ram", "text", 1, 2).variables())


def resize(home: Path, **variables: str) -> list[str]:
    """Run the script with commands that only note how they were called."""
    programs = home / "bin"
    programs.mkdir()
    for name in ("systemctl", "afx"):
        note = programs / name
        note.write_text(
            f'#!/bin/sh\necho "{name} $*" >> {home}/calls\n'
            '[ "$1" != is-active ] || exit "${INACTIVE:-1}"\n[ "$2" != drain ] || exit "$DRAIN"\n'
        )
        note.chmod(0o755)
    (programs / "hostname").write_text("#!/bin/sh\necho here\n")
    (programs / "hostname").chmod(0o755)
    subprocess.run(
        [DEPLOY / "scaling/afx-resize"],
        env={
            "PATH": f"{programs}:{os.environ['PATH']}",
            "DRAIN": "0",
            "SCALE_REMOVE": "",
            "SCALE_ALTERNATIVES": "",
            **variables,
        },
        check=True,
        timeout=60,
    )
    calls = (home / "calls").read_text().splitlines() if (home / "calls").exists() else []
    return [it for it in calls if "is-active" not in it]


def test_the_script_starts_as_many_units_as_are_missing(home: Path) -> None:
    assert resize(home, SCALE_DECISION="out", SCALE_ADD="2") == [
        "systemctl start afx-worker@1",
        "systemctl start afx-worker@2",
    ]


def test_the_script_does_not_start_what_runs(home: Path) -> None:
    assert resize(home, SCALE_DECISION="out", SCALE_ADD="2", INACTIVE="0") == []


def test_the_script_drains_one_node_of_its_machine_before_it_stops_it(home: Path) -> None:
    assert resize(home, SCALE_DECISION="in", SCALE_REMOVE="there-1 here-2 here-3") == [
        "afx worker drain here-2 --timeout 240 --reason scale in",
        "systemctl stop afx-worker@2",
        "afx worker remove here-2 --yes",
    ]


def test_the_script_takes_an_alternative_when_the_named_node_is_not_its_own(home: Path) -> None:
    calls = resize(
        home, SCALE_DECISION="in", SCALE_REMOVE="there-1", SCALE_ALTERNATIVES="there-2 here-4"
    )
    assert calls[1:] == ["systemctl stop afx-worker@4", "afx worker remove here-4 --yes"]


def test_the_script_leaves_nodes_of_a_machine_whose_name_begins_like_its_own(home: Path) -> None:
    assert resize(home, SCALE_DECISION="in", SCALE_REMOVE="here-1-5 here-x heretic-1") == []


def test_the_script_keeps_a_node_that_cannot_be_emptied(home: Path) -> None:
    calls = resize(home, SCALE_DECISION="in", SCALE_REMOVE="here-2", DRAIN="4")
    assert calls[1:] == ["afx worker uncordon here-2"]


@pytest.mark.parametrize("path", sorted(DEPLOY.glob("kubernetes/*.yaml")), ids=lambda it: it.stem)
def test_manifests_are_yaml_with_kinds(path: Path) -> None:
    documents = list(yaml.safe_load_all(path.read_text()))
    assert all(it["apiVersion"] and it["kind"] for it in documents)


def test_examples_and_document_use_variables_and_settings_that_exist() -> None:
    files = [it for it in DEPLOY.rglob("*") if it.is_file() and it.suffix in ("", ".yaml", ".md")]
    for path in (*files, ROOT / "docs/scaling.md"):
        text = path.read_text()
        assert set(re.findall(r"\bSCALE_[A-Z_]+\b", text)) <= VARIABLES, path
        assert set(re.findall(r"`(scale_\w+)`", text)) <= set(Settings.model_fields), path
    document = (ROOT / "docs/scaling.md").read_text()
    assert all(it in document for it in VARIABLES)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
def test_units_are_valid() -> None:
    units = [str(it) for it in (DEPLOY / "systemd").iterdir()]
    done = subprocess.run(
        ["systemd-analyze", "verify", *units], capture_output=True, text=True, timeout=60
    )
    assert "Unknown" not in done.stderr
