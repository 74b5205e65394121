"""What an operator does each day, without a cluster: users, sessions, rules, records."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.cli_runs import Run, complains, runner
from telethon.crypto import AuthKey
from telethon.sessions import StringSession

from cli.main import COMMANDS, load


def login(seed: int) -> str:
    login = StringSession()
    login.set_dc(2, "149.154.167.51", 443)
    login.auth_key = AuthKey(seed.to_bytes(4, "big") * 64)
    return str(login.save())


@pytest.fixture(scope="session")
def _prepared() -> Iterator[Path]:
    home = Path(tempfile.mkdtemp(prefix="afx-o-"))
    run = runner(home)
    lines = [json.dumps({"name": f"main-{n}", "user": "alice", "login": login(n)}) for n in (1, 2)]
    (home / "l.jsonl").write_text("\n".join(lines))
    for command in (
        ("user", "add", "alice"),
        ("session", "import", "-f", "l.jsonl"),
        ("rule", "add", "main-1", "--from", "@the_news", "--to", "@copies", "--name", "news"),
    ):
        done = run(*command)
        assert done.returncode == 0, done.stderr
    yield home
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def afx(home: Path, _prepared: Path) -> Run:
    """A home with a user, two sessions and a rule."""
    shutil.copytree(_prepared, home, dirs_exist_ok=True)
    return runner(home)


def output(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def leaves(command: Any, path: tuple[str, ...]) -> list[tuple[tuple[str, ...], Any]]:
    commands = getattr(command, "commands", None)
    if commands is None:
        return [(path, command)]
    return [leaf for name, it in commands.items() for leaf in leaves(it, (*path, name))]


LEAVES = [leaf for name in COMMANDS for leaf in leaves(load(name), (name,))]


@pytest.mark.parametrize(("path", "command"), LEAVES, ids=lambda it: str(it))
def test_every_command_has_a_help_text(path: tuple[str, ...], command: Any) -> None:
    assert command.help
    assert command.help.strip().splitlines()[0].endswith(".")


@pytest.mark.parametrize("name", COMMANDS)
def test_the_table_of_commands_repeats_each_help_text(name: str) -> None:
    assert (
        load(name)
        .help.split("\n\n")[0]
        .replace("\n", " ")
        .split("  ")[0]
        .startswith(COMMANDS[name].rstrip("."))
    )


READS = [
    path
    for path, command in LEAVES
    if path[-1] in ("list", "show", "status", "verify", "doctor", "workers", "sessions", "top")
    and path[0] != "sandbox"
    and path != ("redis", "status")
]


@pytest.mark.parametrize("path", READS, ids=" ".join)
def test_every_read_takes_json(path: tuple[str, ...]) -> None:
    command = dict(LEAVES)[path]
    assert any("--json" in it.opts for it in command.params)


CHANGES = [
    ("user", "add", "bob"),
    ("user", "tier", "alice", "premium"),
    ("user", "remove", "bob"),
    ("session", "import", "new", "--user", "alice"),
    ("session", "pause", "main-1"),
    ("session", "move", "main-1"),
    ("rule", "add", "main-2", "--from", "@aaaa", "--to", "@bbbb"),
    ("rule", "disable", "1"),
    ("rule", "remove", "main-1/news"),
    ("rule", "apply", "-f", "rules.yaml"),
    ("session", "import", "-f", "more.jsonl"),
    ("session", "remove", "main-2"),
]


def test_a_dry_run_changes_nothing_and_leaves_no_audit_row(afx: Run, home: Path) -> None:
    afx("user", "add", "bob")
    (home / "rules.yaml").write_text(
        "rules:\n- {session: main-1, name: news, from: '@other', to: '@copies'}\n"
    )
    (home / "more.jsonl").write_text(json.dumps({"name": "x", "user": "alice", "login": login(9)}))

    def world() -> list[str]:
        return [
            afx(*it, "--json").stdout
            for it in (
                ("user", "list"),
                ("session", "list"),
                ("rule", "list"),
                ("audit", "list"),
                ("control", "list"),
            )
        ]

    before = world()
    for command in CHANGES:
        command = ("user", "add", "carol") if command == ("user", "add", "bob") else command
        done = afx(*command, "--dry-run", stdin=login(8))
        assert done.returncode == 0, (command, done.stderr)
    assert world() == before


def test_every_change_has_an_audit_row_and_the_log_is_whole(afx: Run, home: Path) -> None:
    afx("user", "add", "bob")
    (home / "rules.yaml").write_text(
        "rules:\n- {session: main-1, name: news, from: '@other', to: '@copies'}\n"
    )
    (home / "more.jsonl").write_text(json.dumps({"name": "x", "user": "alice", "login": login(9)}))
    count = len(output(afx("audit", "list", "--json")))
    for command in CHANGES[1:]:
        words = (*command, "--yes") if command[1] == "remove" else command
        if command[:2] in (("session", "pause"), ("session", "move")):
            words = (*words, "--no-wait")
        if command == ("rule", "remove", "main-1/news"):
            continue
        done = afx(*words, stdin=login(8))
        assert done.returncode == 0, (command, done.stderr)
        count += 1
        assert len(output(afx("audit", "list", "--json"))) == count, command
    verdict = output(afx("audit", "verify", "--json"))
    assert (verdict["entries"], verdict["faults"]) == (count, [])


def test_an_audit_log_that_was_edited_is_found_out(afx: Run, home: Path) -> None:
    import sqlite3

    head = afx("audit", "verify").stdout.splitlines()[-1].removeprefix("head ")
    with sqlite3.connect(home / "afx.db") as database:
        database.execute("DROP TRIGGER audit_log_no_delete")
        database.execute("DELETE FROM audit_log WHERE id = 3")
        digest = database.execute("SELECT digest FROM audit_log WHERE id = 2").fetchone()[0]
        database.execute("UPDATE audit_head SET entries = 2, digest = ?", (digest,))
    database.close()
    assert afx("audit", "verify").returncode == 0  # cut off at its end: only a head shows it
    done = afx("audit", "verify", "--head", head)
    assert done.returncode == 1
    assert "NOT complete" in done.stdout
    complains(afx("audit", "verify", "--head", "nonsense"), 2, "ENTRIES:DIGEST")


def test_a_destructive_command_asks_for_confirmation(afx: Run) -> None:
    complains(afx("session", "remove", "main-2"), 2, "--yes")
    complains(afx("rule", "remove", "main-1/news"), 2, "--yes")
    complains(afx("user", "remove", "alice"), 2, "--yes")
    assert len(output(afx("session", "list", "--json"))) == 2
    assert afx("session", "remove", "main-2", "--yes").returncode == 0
    assert len(output(afx("session", "list", "--json"))) == 1


def test_beginnings_of_names_are_enough_when_they_are_unique(afx: Run) -> None:
    assert output(afx("user", "show", "al", "--json"))["name"] == "alice"
    complains(afx("session", "show", "main"), 2, "main-1, main-2")
    assert output(afx("session", "show", "1", "--json"))["name"] == "main-1"
    complains(afx("session", "show", "nobody"), 2, "afx session list")
    complains(afx("rule", "show", "main-1/none"), 2, "afx rule list")
    complains(afx("worker", "cordon", "w1"), 2, "afx worker list")
    complains(afx("control", "show", "7"), 2, "afx control list")


def test_lists_are_read_by_pages(afx: Run, home: Path) -> None:
    lines = [json.dumps({"name": f"s{n:04d}", "login": login(n + 10)}) for n in range(2500)]
    (home / "many.jsonl").write_text("\n".join(lines))
    done = afx("session", "import", "-f", "many.jsonl", "--user", "alice", "--json")
    assert output(done) == {"added": 2500, "present": 0, "bad": 0}
    first = afx("session", "list", "--json", "--limit", "2")
    assert [it["name"] for it in output(first)] == ["main-1", "main-2"]
    assert "--after main-2" in first.stderr
    second = afx("session", "list", "--json", "--after", "main-2", "--limit", "1")
    assert [it["name"] for it in output(second)] == ["s0000"]
    assert len(output(afx("session", "list", "--json", "--all"))) == 2502
    assert len(afx("session", "list", "--all").stdout.splitlines()) == 2503
    complains(afx("session", "list", "--state", "odd"), 2, "one of running")


def test_an_import_list_with_bad_lines_names_them_and_exits_4(afx: Run, home: Path) -> None:
    (home / "l.csv").write_text(f"name,user,login\nnew,alice,{login(5)}\nbad,alice,1AAAA\n")
    done = afx("session", "import", "-f", "l.csv", "--result", "r.jsonl")
    assert done.returncode == 4
    assert "l.csv, line 3: That is no Telethon session string" in done.stderr
    result = [json.loads(it) for it in (home / "r.jsonl").read_text().splitlines()]
    assert [(it["line"], it["status"]) for it in result] == [(2, "added"), (3, "bad")]
    done = afx("session", "import", "-f", "l.csv", "--json")
    assert json.loads(done.stdout) == {"added": 0, "present": 1, "bad": 1}


def test_a_login_that_is_here_already_is_refused(afx: Run) -> None:
    done = afx("session", "import", "again", "--user", "alice", stdin=login(1))
    complains(done, 2, "main-1", "must not run twice")


def test_rules_are_applied_with_a_diff_and_exported(afx: Run, home: Path) -> None:
    path = home / "rules.yaml"
    path.write_text(
        "rules:\n- {session: main-1, name: news, from: '@other', to: '@copies'}\n"
        "- {session: main-2, name: more, from: ['@aaaa'], to: [-1001], mode: forward}\n"
    )
    done = afx("rule", "apply", "-f", "rules.yaml")
    assert done.stdout.splitlines() == [
        "~ main-1/news",
        "  - @the_news → @copies (copy)",
        "  + @other → @copies (copy)",
        "+ main-2/more  @aaaa → -1001 (forward)",
        "1 added, 1 changed, 0 removed",
    ]
    exported = afx("rule", "export").stdout
    path.write_text(exported)
    assert "already" in afx("rule", "apply", "-f", "rules.yaml").stdout
    path.write_text("rules:\n- {session: main-2, name: new, from: '@aaaa', to: '@bbbb'}\n")
    complains_about_yes = afx("rule", "apply", "-f", "rules.yaml", "--prune")
    assert complains_about_yes.returncode == 2
    assert afx("rule", "apply", "-f", "rules.yaml", "--prune", "--yes").returncode == 0
    assert [it["name"] for it in output(afx("rule", "list", "--json"))] == ["news", "new"]


def test_a_rule_file_with_one_mistake_changes_nothing(afx: Run, home: Path) -> None:
    before = afx("rule", "list", "--json").stdout
    for text, words in (
        (
            "rules:\n- {session: main-2, name: a, from: '@aaaa', to: '@bbbb'}\n- {session: x}\n",
            "line 3",
        ),
        ("rules:\n- {session: nobody, name: a, from: '@aaaa', to: '@bbbb'}\n", "no session"),
        ("rules:\n- {session: main, name: a, from: '@aaaa', to: '@bbbb'}\n", "main-1, main-2"),
    ):
        (home / "r.yaml").write_text(text)
        complains(afx("rule", "apply", "-f", "r.yaml"), 2, words)
    complains(afx("rule", "apply", "-f", "none.yaml"), 2, "cannot be read")
    done = afx("rule", "apply", "-f", "-", stdin="rules: [")
    complains(done, 2, "standard input, line")
    assert afx("rule", "list", "--json").stdout == before


def test_all_errors_of_a_rule_file_are_printed_at_once(afx: Run, home: Path) -> None:
    (home / "r.yaml").write_text(
        "rules:\n- {session: nobody, name: a, from: '@aaaa', to: '@bbbb'}\n"
        "- {session: main-1, name: '7', from: '@aaaa', to: '@bbbb'}\n"
        "- {session: absent, name: c, from: '@aaaa', mode: copy}\n"
    )
    done = afx("rule", "apply", "-f", "r.yaml")
    complains(done, 2, "4 errors in r.yaml; nothing was changed.")
    places = [it.partition(": ")[0].strip() for it in done.stderr.splitlines()[1:]]
    assert places == [
        "r.yaml, line 2, field 'session'",
        "r.yaml, line 3, field 'name'",
        "r.yaml, line 4",
        "r.yaml, line 4, field 'session'",
    ]


def test_a_rule_is_disabled_and_enabled(afx: Run) -> None:
    afx("rule", "disable", "main-1/news")
    assert not output(afx("rule", "show", "main-1/news", "--json"))["enabled"]
    assert "already" in afx("rule", "disable", "1").stdout
    afx("rule", "enable", "1")
    assert output(afx("rule", "show", "1", "--json"))["enabled"]


def test_sql_and_controls_in_arguments_are_only_text(afx: Run) -> None:
    for text in ("'; DROP TABLE users; --", "%_' OR '1'='1\x1b[2J\n"):
        complains(afx("session", "show", text), 2, "no session")
        complains(afx("user", "show", text), 2, "no user")
        assert afx("session", "list", "--prefix", text, "--json").stdout == "[]\n"
        assert afx("audit", "list", "--action", text, "--json").stdout == "[]\n"
    complains(afx("user", "add", "a\x1b[2J"), 2, "control characters")
    assert len(output(afx("session", "list", "--json"))) == 2


def test_controls_without_a_coordinator_are_kept_and_exit_3(afx: Run, home: Path) -> None:
    done = afx("session", "move", "main-1", "--timeout", "0.3")
    assert done.returncode == 3
    assert "No coordinator leads" in done.stderr
    [control] = output(afx("control", "list", "--json", "--open"))
    assert (control["kind"], control["session"], control["state"]) == (
        "move",
        "main-1",
        "requested",
    )
    complains(afx("session", "move", "main-1", "--no-wait"), 2, "under way already")
    assert afx("control", "cancel", str(control["id"])).returncode == 0
    done = afx("control", "cancel", str(control["id"]))
    complains(done, 1, "cancelled and cannot become cancelled")


def test_a_backup_is_made_and_restored(afx: Run, home: Path) -> None:
    assert output(afx("db", "backup", "b.gz", "--json"))["tables"]["sessions"] == 2
    complains(afx("db", "backup", "b.gz"), 2, "--overwrite")
    afx("user", "add", "later")
    complains(afx("db", "restore", "b.gz"), 2, "--yes")
    done = afx("db", "restore", "b.gz", "--yes")
    assert done.returncode == 0, done.stderr
    assert [it["name"] for it in output(afx("user", "list", "--json"))] == ["alice"]
    assert output(afx("audit", "list", "--json"))[0]["action"] == "db.restore"
    (home / "bad.gz").write_bytes(b"nonsense")
    complains(afx("db", "restore", "bad.gz", "--yes"), 2, "no backup")
    (home / "locked").mkdir(mode=0o500)
    if os.getuid():
        complains(afx("db", "backup", "locked/b.gz"), 1, "cannot be written")


def test_a_schema_goes_down_and_up(afx: Run) -> None:
    assert output(afx("db", "status", "--json"))["pending"] == []
    complains(afx("db", "downgrade"), 2, "--yes")
    last = output(afx("db", "status", "--json"))["migrations"][-1]["name"]
    assert afx("db", "downgrade", "--yes").stdout == f"reverted: {last}\n"
    assert output(afx("db", "status", "--json"))["pending"] == [last]
    assert output(afx("db", "upgrade", "--dry-run", "--json"))["applied"] == [last]
    assert output(afx("db", "upgrade", "--json"))["applied"] == [last]
    assert len(output(afx("rule", "list", "--json"))) == 1
    complains(afx("db", "downgrade", "--to", "odd", "--yes"), 2, "afx db status")


def test_a_wrong_key_gives_one_sentence(afx: Run, home: Path) -> None:
    key = "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s="
    done = afx("doctor", "--json", AFX_SECRET_KEY=key)
    assert done.returncode == 1
    bad = [it for it in json.loads(done.stdout) if it["grade"] == "fail"]
    assert [it["area"] for it in bad] == ["database"] and "AFX_SECRET_KEY" in bad[0]["what"]
    done = afx("session", "import", "x", "--user", "alice", stdin=login(9), AFX_SECRET_KEY=key)
    complains(done, 1, "AFX_SECRET_KEY")
    complains(afx("audit", "verify", AFX_SECRET_KEY=key), 1, "fits the secret key")
    (home / "secret.key").chmod(0o644)
    done = afx("doctor", "--json")
    assert any("chmod 600" in it["remedy"] for it in json.loads(done.stdout))
    complains(afx("user", "add", "x", AFX_SECRET_KEY="odd"), 2, "Fernet keys")


def test_a_doctor_finds_a_sound_home_sound(afx: Run) -> None:
    found = output(afx("doctor", "--json"))
    assert {it["area"] for it in found} >= {"python", "packages", "limits", "keys", "database"}
    assert all(it["remedy"] for it in found if it["grade"] != "ok")


def test_settings_are_shown_with_their_source_and_without_secrets(afx: Run, home: Path) -> None:
    (home / "afx.toml").write_text("max_sessions = 7\n")
    secret = "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s="
    url = "redis://me:hidden@127.0.0.1/0"
    done = afx("config", "show", "--json", AFX_SECRET_KEY=secret, AFX_REDIS_URL=url)
    shown = {it["name"]: it for it in output(done)}
    assert secret not in done.stdout and "hidden" not in done.stdout
    assert (shown["max_sessions"]["value"], shown["max_sessions"]["source"]) == (7, "afx.toml")
    assert shown["redis_url"]["source"] == "AFX_REDIS_URL"
    assert shown["link_days"]["source"] == "default"
    assert all(it["what"] for it in shown.values())


def test_a_settings_file_is_written_with_the_defaults(afx: Run, home: Path) -> None:
    assert afx("config", "init", "made.toml").returncode == 0
    complains(afx("config", "init", "made.toml"), 2, "--overwrite")
    text = (home / "made.toml").read_text()
    assert "#max_sessions = 5000" in text
    whole = "\n".join(
        it.removeprefix("#") for it in text.splitlines() if " = " in it and it[:2] != "# "
    )
    (home / "made.toml").write_text(whole)
    assert "made.toml" in afx("config", "check", AFX_CONFIG="made.toml").stdout
    complains(afx("config", "check", AFX_HEARTBEAT_SECONDS="99"), 2, "heartbeat")


def test_a_shell_completes_names(afx: Run) -> None:
    done = afx(_AFX_LINE="afx session show main-", _AFX_COMPLETE="complete_bash")
    assert done.stdout.split() == ["main-1", "main-2"]
    done = afx(_AFX_LINE="afx rule show ma", _AFX_COMPLETE="complete_bash")
    assert done.stdout.split() == ["main-1/news"]
    assert "complete" in afx("completion", "bash").stdout


def test_analytics_without_data_are_empty_and_bad_times_are_refused(afx: Run) -> None:
    assert output(afx("analytics", "workers", "--json")) == []
    assert afx("analytics", "export", "--since", "7d").stdout == ""
    for since in ("yesterday", "7", "-1h", "99999999d", "'"):
        complains(afx("analytics", "workers", "--since", since), 2, "--since")
    complains(afx("analytics", "export", "--span", "7"), 2, "3600")


def test_a_full_disk_changes_nothing_and_gives_one_sentence(afx: Run) -> None:
    before = afx("user", "list", "--json").stdout
    full = ("bash", "-c", 'ulimit -f 4; exec "$@"', "full")  # no file grows beyond 4 KiB
    complains(afx("user", "add", "bob", prefix=full), 1, "disk")
    assert afx("user", "list", "--json").stdout == before
    assert afx("audit", "verify").returncode == 0
