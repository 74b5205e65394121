"""Commands that only read SQL import no more than that: imports are most of their time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from support.cli_runs import environment
from support.databases import prepare

COMMANDS = (["session", "list"], ["session", "list", "--state", "waiting"], ["rule", "list"])
HEAVY = (
    "afx.cluster.connection",
    "afx.cluster.reports",
    "afx.forwarding.conditions",
    "afx.forwarding.options",
    "cryptography",
    "playhouse.migrations",
    "psycopg",
    "pydantic_settings",
    "redis",
    "rich.console",
    "rq",
    "structlog",
    "telethon",
    "yaml",
)


def test_lists_of_sessions_and_rules_import_nothing_heavy_that_they_do_not_use(home: Path) -> None:
    prepare(home)
    script = (
        "import sys\n"
        "from cli.main import app\n"
        f"for words in {COMMANDS!r}:\n"
        "    app(words, standalone_mode=False)\n"
        f"print([it for it in {HEAVY!r} if sys.modules.get(it)])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=home,
        env=environment(home),
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
