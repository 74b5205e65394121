"""afx rule import at the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.cli_runs import Run, complains, runner
from telethon.crypto import AuthKey
from telethon.sessions import StringSession

CONFIG = {
    "forwards": [
        {"con_name": "news", "source": "@the_news", "dest": ["@copies"]},
        {"con_name": "own", "source": "+15551234567", "dest": ["@copies"]},
    ],
    "plugins": {"filter": {"check": True, "text": {"blacklist": ["casino"]}}},
}


@pytest.fixture
def afx(home: Path) -> Run:
    """A home with the configuration of another forwarder."""
    (home / "tgcf.config.json").write_text(json.dumps(CONFIG))
    return runner(home)


def login() -> str:
    made = StringSession()
    made.set_dc(2, "149.154.167.51", 443)
    made.auth_key = AuthKey(b"test" * 64)
    return str(made.save())


def test_a_rule_file_is_printed_and_what_is_left_out_is_told(afx: Run) -> None:
    done = afx("rule", "import", "tgcf.config.json", "--session", "main", "--dry-run")
    assert done.returncode == 4
    assert done.stdout.startswith("rules:\n- session: main\n  name: news\n")
    assert "forwards[1].source (rule 'own'): '+15551234567' was left out" in done.stderr
    complains(afx("rule", "import", "tgcf.config.json", "--from", "other"), 2, "tgcf or telemirror")
    complains(afx("rule", "import", "tgcf.config.json", "--apply"), 2, "Give --session")


def test_rules_are_applied_and_shown_as_json(afx: Run) -> None:
    for command in (("user", "add", "alice"), ("session", "import", "main", "--user", "alice")):
        assert afx(*command, stdin=login()).returncode == 0
    wanted = ("rule", "import", "tgcf.config.json", "--session", "main", "--apply")
    assert "1 added" in afx(*wanted, "--dry-run").stdout
    found = json.loads(afx(*wanted, "--json").stdout)
    assert found["changes"] == [{"kind": "add", "path": "main/news"}]
    assert found["rules"][0]["filter"] == {"not": {"contains": ["casino"]}}
    assert {it["effect"] for it in found["notes"]} == {"left_out"}
    assert "already" in afx(*wanted).stdout
