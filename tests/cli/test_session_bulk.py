"""afx session bulk."""

from __future__ import annotations

import json
from pathlib import Path

from support.cli_runs import complains, runner

from models import base
from models.storage import sessions, users
from models.storage.sessions import NewSession


def test_the_sessions_of_a_filter_are_changed_at_once(home: Path) -> None:
    afx = runner(home)
    afx("user", "add", "alice")
    base.open_database(f"sqlite:///{home}/afx.db")
    rows = [NewSession(f"s{it}", "sealed", str(it)) for it in range(3)]
    sessions.create_many(users.find("alice"), rows)
    base.close_database()
    dry = afx("session", "bulk", "pause", "--user", "alice", "--dry-run")
    assert "3 sessions match, 3 would be requested, 0 refused (dry run" in dry.stdout, dry.stderr
    complains(afx("session", "bulk", "pause"), 2, "by a filter")
    complains(afx("session", "bulk", "stop", "--all"), 2, "pause, resume")
    complains(afx("session", "bulk", "remove", "--all"), 2, "Remove 3 sessions")
    some = afx("session", "bulk", "pause", "--user", "alice", "--limit", "2", "--reason", "x")
    assert "go on with --after 's1'" in some.stdout
    rest = json.loads(
        afx("session", "bulk", "pause", "--user", "alice", "--after", "s1", "--json").stdout
    )
    assert [it["session"] for it in rest["items"]] == ["s2"]
    refused = afx("session", "bulk", "move", "--all", "--to", "nowhere")
    assert refused.returncode == 1 and "3 refused" in refused.stdout


def test_sessions_hibernate_and_wake_on_request(home: Path) -> None:
    afx = runner(home)
    afx("user", "add", "alice")
    base.open_database(f"sqlite:///{home}/afx.db")
    rows = [NewSession(f"s{it}", "sealed", str(it)) for it in range(2)]
    sessions.create_many(users.find("alice"), rows)
    base.close_database()
    complains(afx("session", "hibernate", "s0", "--no-wait"), 2, "hibernate_fresh_hours")
    old = {"AFX_HIBERNATE_FRESH_HOURS": "0"}
    done = afx("session", "hibernate", "s0", "s1", "--no-wait", "--reason", "quiet", **old)
    assert done.returncode == 0, done.stderr
    listed = afx("session", "list", "--state", "hibernated").stdout
    assert "s0" in listed and "s1" in listed and "requested: wakes by" in listed
    afx("session", "wake", "s0", "--no-wait")
    listed = json.loads(afx("session", "list", "--json").stdout)
    assert [it["hibernation"] for it in listed] == ["", "requested"]
