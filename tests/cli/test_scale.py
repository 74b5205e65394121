"""`afx scale` with what a leader has published: exit codes, commands, faults."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis as redis_module
from support.cli_runs import COMMAND, Run, complains, environment, runner

from afx.cluster import keys, scaling_record
from afx.cluster.scaling_record import ResourceDemand, ScalingRecord
from afx.lab.waiting import wait_until
from afx.local.home_lock import home_lock

HOLD = ScalingRecord(
    decision="hold",
    reason="steady",
    text="the nodes suffice, and none is to spare",
    current=2,
    desired=2,
    needed=2,
    min_nodes=1,
    max_nodes=8,
    overflow=0,
    oldest_task_seconds=0.0,
    standing_seconds=0.0,
    demands={"ram": ResourceDemand(2.0**30, 2.0**31, 0.67)},
)
OUT = replace(HOLD, decision="out", reason="ram", desired=4, text="RAM fills 3.0 nodes at 75%")
IN = replace(HOLD, decision="in", reason="spare", desired=1, removable=("w2",))


@pytest.fixture
def afx(home: Path, redis_url: str) -> Run:
    run = runner(home)
    return lambda *words, **variables: run(*words, AFX_REDIS_URL=redis_url, **variables)


def publish(redis: redis_module.Redis, record: ScalingRecord) -> None:
    redis.set(keys.TERM, 1)
    scaling_record.publish(redis, record, term=1, ttl_seconds=60)


@pytest.mark.parametrize(
    ("record", "code"), [(HOLD, 0), (OUT, 10), (IN, 20), (replace(HOLD, reason="stale"), 3)]
)
def test_the_exit_code_says_what_to_do(
    afx: Run, redis: redis_module.Redis, record: ScalingRecord, code: int
) -> None:
    publish(redis, record)
    done = afx("scale", "check", "--json")
    assert (done.returncode, done.stderr) == (code, "")
    found = json.loads(done.stdout)
    assert (found["decision"], found["desired"]) == (record.decision, record.desired)
    assert found["is_stale"] is (code == 3)


def test_without_a_leader_the_figures_are_stale(afx: Run, redis: redis_module.Redis) -> None:
    done = afx("scale", "check")
    assert done.returncode == 3
    assert done.stdout.startswith("hold (stale): 0 ready, 0 desired")
    redis.set(keys.SCALING, '{"decision": "out"}')
    assert afx("scale", "check").returncode == 3


def test_a_command_that_is_empty_is_refused(home: Path) -> None:
    done = runner(home)("scale", "check", "--exec", "")
    complains(done, 2)
    assert "is empty" in done.stderr


def test_a_name_that_is_no_word_reaches_no_command(afx: Run, redis: redis_module.Redis) -> None:
    publish(redis, replace(IN, removable=("w2 w3", "-rf", "w4;id", "w5.2", "é-1")))
    found = json.loads(afx("scale", "check", "--json").stdout)
    assert found["removable"] == ["w5.2", "é-1"]


def test_a_redis_that_is_away_exits_3_and_runs_no_command(home: Path) -> None:
    command = f"touch {home}/ran"
    url = f"unix://{home}/none.sock"
    done = runner(home)("scale", "check", "--exec", command, AFX_REDIS_URL=url)
    complains(done, 3)
    assert not (home / "ran").exists()


def hook(home: Path, code: str) -> str:
    script = home / "hook.py"
    script.write_text(code)
    return f"{sys.executable} {script}"


def test_the_command_gets_the_figures_and_runs_for_changes_only(
    afx: Run, home: Path, redis: redis_module.Redis
) -> None:
    code = (
        "import json, os;"
        f"open({str(home / 'figures')!r}, 'a').write(json.dumps("
        "{k: v for k, v in os.environ.items() if k.startswith('SCALE_')}) + '\\n')"
    )
    command = hook(home, code)
    for record, expected in ((HOLD, 0), (OUT, 10), (IN, 20)):
        publish(redis, record)
        assert afx("scale", "check", "--exec", command).returncode == expected
    lines: list[dict[str, Any]] = [
        json.loads(it) for it in (home / "figures").read_text().splitlines()
    ]
    assert [it["SCALE_DECISION"] for it in lines] == ["out", "in"]
    assert (lines[0]["SCALE_CURRENT"], lines[0]["SCALE_ADD"]) == ("2", "2")
    assert lines[1]["SCALE_REMOVE"] == "w2"


def test_a_command_that_fails_hangs_or_runs_already_exits_1(
    afx: Run, home: Path, redis: redis_module.Redis
) -> None:
    publish(redis, OUT)
    done = afx("scale", "check", "--exec", hook(home, "raise SystemExit(7)"))
    assert done.returncode == 1
    assert "failed with exit code 7" in done.stderr
    slow = hook(home, "import time; time.sleep(600)")
    done = afx("scale", "check", "--exec", slow, "--timeout", "1")
    assert done.returncode == 1
    assert "had not ended after 1 s" in done.stderr
    with home_lock(home, "scale", "afx scale check --exec"):
        done = afx("scale", "check", "--exec", slow)
    assert done.returncode == 1
    assert "is already running" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_command_does_not_outlive_the_check(
    home: Path, redis_url: str, redis: redis_module.Redis, number: int
) -> None:
    publish(redis, OUT)
    script = f"echo $$ > {home}/pid.new; mv {home}/pid.new {home}/pid; exec sleep 600"
    check = subprocess.Popen(
        [*COMMAND, "scale", "check", "--exec", shlex.join(["sh", "-c", script])],
        env=environment(home, AFX_REDIS_URL=redis_url),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_until((home / "pid").exists, what="the command runs", seconds=60)
    hook = psutil.Process(int((home / "pid").read_text()))
    check.send_signal(number)
    check.wait(60)
    wait_until(lambda: _has_ended(hook), what="the command has ended", seconds=30)


def _has_ended(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_command_that_lies_is_noticed_by_what_the_nodes_do(
    afx: Run, home: Path, redis: redis_module.Redis
) -> None:
    publish(redis, replace(OUT, standing_seconds=720.0))
    done = afx("scale", "check", "--exec", hook(home, "pass"))
    assert done.returncode == 10
    assert "recommended for 12 min and the nodes have not followed" in done.stderr


def test_the_plan_and_the_figures_are_explained(afx: Run, redis: redis_module.Redis) -> None:
    publish(redis, OUT)
    plan = afx("scale", "plan")
    assert plan.returncode == 0
    assert "add 2 nodes" in plan.stdout
    explained = afx("scale", "explain").stdout
    assert "limits 1 to 8" in explained
    assert "1024 MiB" in explained
    assert "no recommendations" in afx("scale", "history").stderr.lower()
